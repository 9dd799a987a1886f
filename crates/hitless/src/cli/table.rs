//! Tables of text in columns.

use std::io::{self, Write};

use anstyle::Style;

use super::style;

/// One cell, and how it is painted.
pub(super) type Cell = (String, Style);

/// Writes a table; all rows have as many cells as there are headings.
pub(super) fn write(headings: &[&str], rows: &[Vec<Cell>], out: &mut impl Write) -> io::Result<()> {
    let headings: Vec<Cell> = headings.iter().map(|&heading| (heading.to_owned(), style::FAINT)).collect();
    let widths: Vec<usize> = (0..headings.len())
        .map(|column| {
            let cells = std::iter::once(&headings).chain(rows).filter_map(|row| row.get(column));
            cells.map(|(text, _)| text.chars().count()).max().unwrap_or(0)
        })
        .collect();
    for row in std::iter::once(&headings).chain(rows) {
        let mut line = String::from(" ");
        // Blanks are held back until something follows, so that no line ends in them.
        let mut blanks = 1;
        for ((text, style), width) in row.iter().zip(&widths) {
            let length = text.chars().count();
            if length > 0 {
                line.push_str(&" ".repeat(blanks));
                line.push_str(&format!("{style}{text}{style:#}"));
                blanks = 0;
            }
            blanks += width.saturating_sub(length) + 2;
        }
        writeln!(out, "{line}")?;
    }
    Ok(())
}
