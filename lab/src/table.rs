//! Text tables for a terminal, and colour where there is one.

use std::fmt;
use std::io::{IsTerminal as _, stdout};

/// A table whose first column is text and whose other columns are aligned to the right.
#[derive(Clone, Debug, Default)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these column titles.
    pub fn new(titles: &[&str]) -> Self {
        Self { rows: vec![titles.iter().map(|title| (*title).to_owned()).collect()] }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    fn widths(&self) -> Vec<usize> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or_default();
        let cells = |column: usize| self.rows.iter().filter_map(move |row| row.get(column));
        (0..columns).map(|column| cells(column).map(|cell| width(cell)).max().unwrap_or_default()).collect()
    }
}

/// How many columns of a terminal a text takes: colour takes none.
fn width(text: &str) -> usize {
    let mut in_escape = false;
    let visible = text.chars().filter(|letter| {
        let starts = *letter == '\x1b';
        let hidden = in_escape || starts;
        in_escape = hidden && *letter != 'm';
        !hidden
    });
    visible.count()
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.widths();
        for (n, row) in self.rows.iter().enumerate() {
            let mut line = String::new();
            for (column, (cell, widest)) in row.iter().zip(&widths).enumerate() {
                let padding = " ".repeat(widest.saturating_sub(width(cell)));
                line +=
                    &if column == 0 { format!("  {cell}{padding}") } else { format!("  {padding}{cell}") };
            }
            writeln!(f, "{}", line.trim_end())?;
            if n == 0 {
                let rule = widths.iter().sum::<usize>() + 2 * widths.len().saturating_sub(1);
                writeln!(f, "  {}", "─".repeat(rule))?;
            }
        }
        Ok(())
    }
}

/// How standard output looks.
#[derive(Clone, Copy, Debug)]
pub struct Paint {
    colour: bool,
}

impl Paint {
    /// In colour if standard output is a terminal and NO_COLOR is not set.
    pub fn for_stdout() -> Self {
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { colour: stdout().is_terminal() && !unwanted }
    }

    /// Something that happens.
    pub fn bold(self, text: &str) -> String {
        self.with("1", text)
    }

    /// Something that is less important.
    pub fn dim(self, text: &str) -> String {
        self.with("2", text)
    }

    /// Good news.
    pub fn green(self, text: &str) -> String {
        self.with("32", text)
    }

    /// Bad news.
    pub fn red(self, text: &str) -> String {
        self.with("31", text)
    }

    fn with(self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let mut table = Table::new(&["event", "lost"]);
        table.row(["pull".to_owned(), "1".to_owned()]);
        assert_eq!(table.to_string(), "  event  lost\n  ───────────\n  pull      1\n");
        assert_eq!(width("\x1b[32mkept\x1b[0m"), 4);
    }
}
