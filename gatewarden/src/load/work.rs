//! What is asked, and how often each: one kind of work, or a mix with weights.

use super::random::Random;

/// One kind of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    /// Access-Request with User-Password.
    Pap,
    /// Access-Request with CHAP-Password.
    Chap,
    /// Access-Request with MS-CHAP2-Response.
    Mschapv2,
    /// Start, Interim-Updates and Stop of many sessions.
    Accounting,
    /// Status-Server.
    Status,
}

/// Every kind, in the order in which reports list them.
pub(super) const ALL: [Work; 5] = [
    Work::Pap,
    Work::Chap,
    Work::Mschapv2,
    Work::Accounting,
    Work::Status,
];

/// The greatest weight: a mix is read at a glance.
const MAX_WEIGHT: u32 = 10_000;

impl Work {
    pub(super) fn name(self) -> &'static str {
        match self {
            Work::Pap => "pap",
            Work::Chap => "chap",
            Work::Mschapv2 => "mschapv2",
            Work::Accounting => "accounting",
            Work::Status => "status",
        }
    }

    /// Whether it needs a user's password.
    pub(super) fn is_login(self) -> bool {
        matches!(self, Work::Pap | Work::Chap | Work::Mschapv2)
    }
}

/// Kinds of work and their weights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mix {
    parts: Vec<(Work, u32)>,
    sum: u32,
}

impl Mix {
    /// Reads `pap` or `pap=8,accounting=2`.
    ///
    /// # Errors
    /// One sentence.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut parts: Vec<(Work, u32)> = Vec::new();
        for part in text.split(',') {
            let (name, weight) = part.split_once('=').unwrap_or((part, "1"));
            let work = ALL
                .into_iter()
                .find(|work| work.name() == name.trim())
                .ok_or_else(|| {
                    format!(
                        "'{}' is no kind of work; there are {}",
                        name.trim(),
                        ALL.map(Work::name).join(", ")
                    )
                })?;
            let weight = weight
                .trim()
                .parse::<u32>()
                .ok()
                .filter(|weight| (1..=MAX_WEIGHT).contains(weight))
                .ok_or_else(|| {
                    format!("'{part}': write a weight from 1 to {MAX_WEIGHT}, as in pap=8")
                })?;
            if parts.iter().any(|(known, _)| *known == work) {
                return Err(format!("'{}' stands twice in '{text}'", work.name()));
            }
            parts.push((work, weight));
        }
        let sum = parts.iter().map(|(_, weight)| weight).sum();
        Ok(Self { parts, sum })
    }

    pub(super) fn has(&self, wanted: impl Fn(Work) -> bool) -> bool {
        self.parts.iter().any(|(work, _)| wanted(*work))
    }

    /// The next kind of work.
    pub(super) fn draw(&self, random: &mut Random) -> Work {
        if let [(only, _)] = self.parts[..] {
            return only;
        }
        let mut left = random.below(self.sum);
        for (work, weight) in &self.parts {
            if left < *weight {
                return *work;
            }
            left -= weight;
        }
        Work::Status
    }
}

impl std::fmt::Display for Mix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let [(only, _)] = self.parts[..] {
            return f.write_str(only.name());
        }
        for (index, (work, weight)) in self.parts.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{}={weight}", work.name())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mix_is_read_and_said_the_same_way() {
        for text in ["pap", "pap=8,accounting=2", "mschapv2=1,status=10000"] {
            assert_eq!(Mix::parse(text).map(|mix| mix.to_string()), Ok(text.into()));
        }
        for (text, says) in [
            ("eap", "'eap' is no kind of work"),
            ("pap=0", "write a weight from 1"),
            ("pap=x", "write a weight from 1"),
            ("pap,pap", "stands twice"),
            ("", "is no kind of work"),
        ] {
            let error = Mix::parse(text).expect_err(text);
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn a_mix_is_drawn_by_its_weights() {
        let mix = Mix::parse("pap=9,chap=1").expect("mix");
        let mut random = Random::new(&kernel::SystemRng::new());
        let chap = (0..10_000)
            .filter(|_| mix.draw(&mut random) == Work::Chap)
            .count();
        // Nine standard deviations around a tenth.
        assert!((730..=1_270).contains(&chap), "{chap}");
    }
}
