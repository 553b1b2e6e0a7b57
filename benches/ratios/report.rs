//! The table, and the same as JSON.

use std::fmt::Write as _;

/// What a measured ratio should be.
#[derive(Debug, Clone, Copy)]
pub enum Target {
    AtLeast(f64),
    AtMost(f64),
}

impl Target {
    fn is_met_by(self, value: f64) -> bool {
        match self {
            Self::AtLeast(bound) => value >= bound,
            Self::AtMost(bound) => value <= bound,
        }
    }
}

/// One line of the table.
#[derive(Debug, Clone)]
pub struct Row {
    pub section: Section,
    pub name: String,
    pub batch: Option<usize>,
    /// Seconds per call.
    pub min: f64,
    pub median: f64,
    /// Per second, at the median: GFLOP or GB, as the section says.
    pub rate: Option<f64>,
    /// The ratio the section is about.
    pub ratio: f64,
    pub target: Option<Target>,
    /// Share of the time that moving the inputs and outputs takes at the rate of a parallel copy.
    pub moving: Option<f64>,
    /// How many times longer the naive way takes.
    pub naive: Option<f64>,
}

/// A part of the table: what its rates and ratios are.
#[derive(Debug, Clone, Copy)]
pub struct Section {
    pub name: &'static str,
    pub rate: &'static str,
    pub ratio: &'static str,
    pub about: &'static str,
}

/// How a report is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Line by line, as the measurements come in.
    Table,
    /// One object, at the end.
    Json,
}

/// Everything that is measured in one run.
pub struct Report {
    form: Form,
    element: &'static str,
    facts: Vec<(String, String)>,
    rows: Vec<Row>,
}

impl Report {
    pub fn new(form: Form, element: &'static str) -> Self {
        Self { form, element, facts: Vec::new(), rows: Vec::new() }
    }

    /// A named fact about the run, such as the backend.
    pub fn fact(&mut self, name: &str, value: impl ToString) {
        let value = value.to_string();
        if self.form == Form::Table {
            println!("{name}: {value}");
        }
        self.facts.push((name.to_owned(), value));
    }

    /// The rate of the square product in GFLOP/s, `before` or `after` everything else.
    pub fn peak(&mut self, when: &str, element: &str, best: f64, median: f64) {
        if self.form == Form::Table {
            println!("peak {when}, {element}: {best:.1} GFLOP/s best, {median:.1} median");
        }
        for (which, rate) in [("best", best), ("median", median)] {
            self.facts.push((format!("peak_{when}_{element}_{which}"), format!("{rate:.2}")));
        }
    }

    /// Adds a row; the first one of a section is preceded by the section's heading.
    pub fn row(&mut self, row: Row) {
        if self.form == Form::Table {
            if self.rows.last().is_none_or(|last| last.section.name != row.section.name) {
                self.print_heading(row.section);
            }
            println!("{}", line(&row));
        }
        self.rows.push(row);
    }

    fn print_heading(&self, section: Section) {
        println!("\n{} ({}): {}", section.name, self.element, section.about);
        println!(
            "{:<30} {:>5} {:>10} {:>10} {:>8} {:>9} {:>7}  {:<6} {:>7} {:>8}",
            "row", "batch", "min", "median", section.rate, section.ratio, "target", "", "moving", "x naive"
        );
    }

    pub fn finish(self) {
        if self.form == Form::Json {
            println!("{}", self.to_json());
            return;
        }
        let missed = self.rows.iter().filter(|row| row.target.is_some_and(|t| !t.is_met_by(row.ratio))).count();
        let targets = self.rows.iter().filter(|row| row.target.is_some()).count();
        println!("{} of {targets} targets met", targets - missed);
    }

    fn to_json(&self) -> String {
        let mut out = String::from("{\n");
        for (name, value) in &self.facts {
            let value = if value.parse::<f64>().is_ok() { value.clone() } else { quoted(value) };
            let _ = writeln!(out, "  {}: {value},", quoted(&name.replace(' ', "_")));
        }
        let rows: Vec<String> = self.rows.iter().map(|row| format!("    {}", self.row_to_json(row))).collect();
        let _ = write!(out, "  \"rows\": [\n{}\n  ]\n}}", rows.join(",\n"));
        out
    }

    fn row_to_json(&self, row: &Row) -> String {
        let (target, met) = match row.target {
            Some(target) => {
                let text = target_text(target);
                (quoted(text.trim()), target.is_met_by(row.ratio).to_string())
            }
            None => ("null".into(), "null".into()),
        };
        format!(
            "{{\"section\": {}, \"name\": {}, \"element\": {}, \"batch\": {}, \"min_seconds\": {:e}, \
             \"median_seconds\": {:e}, \"rate\": {}, \"ratio\": {:.4}, \"target\": {target}, \"met\": {met}, \
             \"moving\": {}, \"naive_ratio\": {}}}",
            quoted(row.section.name),
            quoted(&row.name),
            quoted(self.element),
            row.batch.map_or("null".into(), |batch| batch.to_string()),
            row.min,
            row.median,
            row.rate.map_or("null".into(), |rate| format!("{rate:.3}")),
            row.ratio,
            row.moving.map_or("null".into(), |share| format!("{share:.3}")),
            row.naive.map_or("null".into(), |naive| format!("{naive:.3}")),
        )
    }
}

fn line(row: &Row) -> String {
    let verdict = match row.target {
        Some(target) if target.is_met_by(row.ratio) => "met",
        Some(_) => "missed",
        None => "",
    };
    format!(
        "{:<30} {:>5} {:>10} {:>10} {:>8} {:>9.3} {:>7}  {:<6} {:>7} {:>8}",
        row.name,
        row.batch.map_or(String::new(), |batch| batch.to_string()),
        seconds(row.min),
        seconds(row.median),
        row.rate.map_or(String::new(), |rate| format!("{rate:.1}")),
        row.ratio,
        row.target.map_or(String::new(), target_text),
        verdict,
        row.moving.map_or(String::new(), |share| format!("{share:.2}")),
        row.naive.map_or(String::new(), |naive| format!("{naive:.1}")),
    )
}

fn target_text(target: Target) -> String {
    match target {
        Target::AtLeast(bound) => format!(">= {bound}"),
        Target::AtMost(bound) => format!("<= {bound}"),
    }
}

fn seconds(value: f64) -> String {
    match value {
        v if v < 1e-3 => format!("{:.2} us", v * 1e6),
        v if v < 1.0 => format!("{:.3} ms", v * 1e3),
        v => format!("{v:.3} s"),
    }
}

/// A JSON string. The texts here hold no control characters.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
