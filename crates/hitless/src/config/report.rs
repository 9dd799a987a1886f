//! Problems in a configuration, and how they are shown: path:line:column, the line, a caret, what was expected.

use std::fmt;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use serde::Serialize;

use super::Config;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where, in bytes of the text.
    pub span: Range<usize>,
    /// What is wrong.
    pub message: String,
    /// What is wrong with exactly this piece, in few words; may be empty.
    pub label: String,
    /// What to do about it, and why the rule is there.
    pub help: Vec<String>,
}

impl Problem {
    /// A problem with this piece of the text.
    pub fn new(span: Range<usize>, message: impl Into<String>) -> Self {
        Self { span, message: message.into(), label: String::new(), help: Vec::new() }
    }

    /// With a label at the place itself.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// With a remedy or a reason.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help.push(help.into());
        self
    }

    /// With the nearest of these words, if one is near.
    #[must_use]
    pub fn did_you_mean<'a>(self, word: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        match nearest(word, known) {
            Some(near) => self.help(format!("did you mean `{near}`?")),
            None => self,
        }
    }
}

/// The word that is most like this one, if any is.
fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    /// Half as much again as what a transposed pair of letters in a short word leaves.
    const LIKE: f64 = 0.75;
    let plain = word.to_lowercase().replace('_', "-");
    known
        .into_iter()
        .map(|known| (strsim::normalized_damerau_levenshtein(&plain, known), known))
        .filter(|(likeness, known)| *likeness >= LIKE || (plain.len() >= 4 && known.starts_with(&plain)))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, known)| known)
}

/// Everything that is wrong with a configuration, with its text, from which secrets are taken out. Displayed without colour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    path: String,
    text: String,
    problems: Vec<Problem>,
}

/// One problem as plain data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// The file.
    pub path: String,
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What was expected; may be empty.
    pub label: String,
    /// What to do about it.
    pub help: Vec<String>,
}

impl Report {
    /// What is wrong, in the order of the text; at least one thing.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// What is wrong as plain data.
    pub fn entries(&self) -> Vec<Entry> {
        let entry = |problem: &Problem| {
            let before = self.text.get(..problem.span.start).unwrap_or_default();
            Entry {
                path: self.path.clone(),
                line: before.matches('\n').count() + 1,
                column: before.rsplit('\n').next().unwrap_or_default().chars().count() + 1,
                message: problem.message.clone(),
                label: problem.label.clone(),
                help: problem.help.clone(),
            }
        };
        self.problems.iter().map(entry).collect()
    }

    /// For people, with or without colour.
    pub fn render(&self, colour: bool) -> String {
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        let groups: Vec<_> = self
            .problems
            .iter()
            .map(|problem| {
                let annotation = AnnotationKind::Primary.span(problem.span.clone());
                let label = (!problem.label.is_empty()).then_some(problem.label.as_str());
                let snippet = Snippet::source(self.text.as_str())
                    .path(self.path.as_str())
                    .annotation(annotation.label(label));
                let help = problem.help.iter().map(|help| Level::HELP.message(help.as_str()));
                Level::ERROR.primary_title(problem.message.as_str()).element(snippet).elements(help)
            })
            .collect();
        // One by one: the renderer takes what follows the first group for an addition to it.
        let reports: Vec<_> =
            groups.into_iter().map(|group| renderer.render(std::slice::from_ref(&group))).collect();
        reports.join("\n\n")
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Report {}

/// The configuration if nothing is wrong with it, else the report. `shown` is the text without its secrets, with every
/// byte in its place.
pub(super) fn finish(
    config: Config,
    mut problems: Vec<Problem>,
    shown: &str,
    path: &str,
) -> Result<Config, Report> {
    if problems.is_empty() {
        return Ok(config);
    }
    for problem in &mut problems {
        problem.span = within(shown, &problem.span);
    }
    problems.sort_by_key(|problem| (problem.span.start, problem.span.end));
    Err(Report { path: path.to_owned(), text: shown.to_owned(), problems })
}

/// The span cut to the first line it touches and to whole characters: a table's span may go on for many lines.
fn within(text: &str, span: &Range<usize>) -> Range<usize> {
    let start = text.floor_char_boundary(span.start.min(text.len()));
    let end = text.ceil_char_boundary(span.end.clamp(start, text.len()));
    let line_end = text.get(start..end).and_then(|part| part.find('\n')).map_or(end, |length| start + length);
    start..line_end
}
