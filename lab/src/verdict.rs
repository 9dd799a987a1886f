//! What a measurement found beside what was promised.

use std::fmt;

use crate::table::{Paint, Table};

/// One row for each promise: what, how much, and whether that is what was promised.
#[derive(Debug)]
pub struct Verdicts {
    table: Table,
    paint: Paint,
}

impl Verdicts {
    /// None yet.
    pub fn new() -> Self {
        Self { table: Table::new(&["what", "measured", "promised", "verdict"]), paint: Paint::for_stdout() }
    }

    /// Adds one.
    pub fn add(&mut self, what: &str, measured: String, promised: &str, kept: bool) {
        let verdict = if kept { self.paint.green("kept") } else { self.paint.red("MISSED") };
        self.table.row([what.to_owned(), measured, promised.to_owned(), verdict]);
    }
}

impl Default for Verdicts {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for Verdicts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.table.fmt(f)
    }
}
