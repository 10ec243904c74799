//! What was measured, and whether it is enough.

/// One run of the generator.
#[derive(Clone, Copy, Default)]
pub struct Sample {
    pub accepted: f64,
    /// Accepted a second.
    pub per_second: f64,
    /// Milliseconds.
    pub p50: f64,
    pub p99: f64,
    pub p99_9: f64,
    /// Lost, rejected, or not to be believed.
    pub failed: f64,
    /// How busy the cores were, in percent.
    pub server_core: f64,
    pub generator_core: f64,
}

/// The runs of one contender.
pub struct Row {
    pub name: String,
    pub samples: Vec<Sample>,
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => 0.0,
        count => f64::midpoint(values[(count - 1) / 2], values[count / 2]),
    }
}

impl Row {
    /// The median of one of the figures.
    pub fn median(&self, figure: impl Fn(&Sample) -> f64) -> f64 {
        median(self.samples.iter().map(figure))
    }

    pub fn per_second(&self) -> f64 {
        self.median(|sample| sample.per_second)
    }

    fn cells(&self) -> [String; 9] {
        let rates = || self.samples.iter().map(|sample| sample.per_second);
        let least = rates().fold(f64::INFINITY, f64::min);
        let most = rates().fold(0.0, f64::max);
        [
            self.name.clone(),
            whole(self.per_second()),
            format!("{}–{}", whole(least), whole(most)),
            format!("{:.2}", self.median(|s| s.p50)),
            format!("{:.2}", self.median(|s| s.p99)),
            format!("{:.2}", self.median(|s| s.p99_9)),
            whole(self.samples.iter().map(|s| s.failed).sum()),
            format!("{:.0} %", self.median(|s| s.server_core)),
            format!("{:.0} %", self.median(|s| s.generator_core)),
        ]
    }
}

const HEADINGS: [&str; 9] = [
    "contender",
    "accepted/s",
    "least–most",
    "p50 ms",
    "p99 ms",
    "p99.9 ms",
    "failed",
    "server core",
    "generator core",
];

/// Something that is to be reached.
pub struct Claim {
    pub text: String,
    pub reached: f64,
    pub wanted: f64,
    /// At least, or at most.
    pub is_least: bool,
    pub unit: &'static str,
}

impl Claim {
    /// `row` reaches so many times what `other` does.
    pub fn ratio(row: &Row, other: &Row, wanted: f64) -> Self {
        Self {
            text: format!("{} against {}", row.name, other.name),
            reached: row.per_second() / other.per_second().max(f64::MIN_POSITIVE),
            wanted,
            is_least: true,
            unit: "×",
        }
    }

    /// Something takes so long at most.
    pub fn at_most(text: impl Into<String>, reached: f64, wanted: f64, unit: &'static str) -> Self {
        Self {
            text: text.into(),
            reached,
            wanted,
            is_least: false,
            unit,
        }
    }

    pub fn is_reached(&self) -> bool {
        match self.is_least {
            true => self.reached >= self.wanted,
            false => self.reached <= self.wanted,
        }
    }

    pub fn cells(&self) -> [String; 4] {
        [
            self.text.clone(),
            format!(
                "{} {} {}",
                if self.is_least { "≥" } else { "≤" },
                self.wanted,
                self.unit
            ),
            format!("{:.2} {}", self.reached, self.unit),
            if self.is_reached() {
                "reached"
            } else {
                "missed"
            }
            .to_owned(),
        ]
    }
}

/// What one work came to.
#[derive(Default)]
pub struct Section {
    pub rows: Vec<Row>,
    pub claims: Vec<Claim>,
    pub notes: Vec<String>,
    /// It could not be measured.
    pub is_broken: bool,
}

impl Section {
    /// It could not be measured.
    pub fn broken(sentence: String) -> Self {
        Self {
            notes: vec![format!("Not measured: {sentence}")],
            is_broken: true,
            ..Self::default()
        }
    }

    pub fn is_reached(&self) -> bool {
        !self.is_broken && self.claims.iter().all(Claim::is_reached)
    }

    /// For a terminal.
    pub fn text(&self) -> String {
        let mut lines = Vec::new();
        if !self.rows.is_empty() {
            lines.extend(aligned(
                &HEADINGS.map(str::to_owned),
                self.rows.iter().map(Row::cells),
            ));
            lines.push(String::new());
        }
        let headings = ["claim", "wanted", "reached", ""].map(str::to_owned);
        if !self.claims.is_empty() {
            lines.extend(aligned(&headings, self.claims.iter().map(Claim::cells)));
        }
        lines.extend(self.notes.iter().cloned());
        lines.join("\n")
    }

    /// For the documentation.
    pub fn markdown(&self) -> String {
        let mut text = String::new();
        let mut table = |headings: &[String], rows: Vec<Vec<String>>| {
            if rows.is_empty() {
                return;
            }
            text.push_str(&format!("| {} |\n", headings.join(" | ")));
            text.push_str(&format!("|{}\n", "---|".repeat(headings.len())));
            for row in rows {
                text.push_str(&format!("| {} |\n", row.join(" | ")));
            }
            text.push('\n');
        };
        table(
            &HEADINGS.map(str::to_owned),
            self.rows.iter().map(|r| r.cells().to_vec()).collect(),
        );
        table(
            &["claim", "wanted", "reached", ""].map(str::to_owned),
            self.claims.iter().map(|c| c.cells().to_vec()).collect(),
        );
        for note in &self.notes {
            text.push_str(note);
            text.push_str("\n\n");
        }
        text
    }
}

/// `12,345`.
pub fn whole(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn aligned<const N: usize>(
    headings: &[String; N],
    rows: impl Iterator<Item = [String; N]>,
) -> Vec<String> {
    let rows: Vec<[String; N]> = std::iter::once(headings.clone()).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<usize> = (0..N).map(|column| width(column).unwrap_or(0)).collect();
    rows.iter()
        .map(|row| {
            let mut line = String::new();
            for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
                match column {
                    0 => line.push_str(&format!("{cell:<width$}")),
                    _ => line.push_str(&format!("  {cell:>width$}")),
                }
            }
            line
        })
        .collect()
}
