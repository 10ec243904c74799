//! Dates as text: seconds since 1970 in UTC, 32 bits unsigned, so until 2106.

const SECONDS_PER_DAY: i64 = 86_400;
const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];

/// `2026-01-31T23:59:59Z`.
pub fn format(seconds: u32) -> String {
    let seconds = i64::from(seconds);
    let (year, month, day) = civil(seconds.div_euclid(SECONDS_PER_DAY));
    let rest = seconds.rem_euclid(SECONDS_PER_DAY);
    let (hour, minute, second) = (rest / 3_600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Reads seconds, `2026-01-31`, `2026-01-31T23:59:59Z` (or with a space), and what
/// FreeRADIUS writes: `Jan 31 2026 23:59:59 UTC`, `31 Jan 2026`. Always UTC.
pub fn parse(text: &str) -> Option<u32> {
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return text.parse().ok();
    }
    let mut words = text
        .split(|c: char| {
            c == 'T' && text.starts_with(|c: char| c.is_ascii_digit()) || c == ' ' || c == ','
        })
        .filter(|word| !word.is_empty())
        .peekable();
    let first = words.next()?;
    let (year, month, day) = if first.contains('-') {
        let mut parts = first.split('-').map(number);
        let date = (parts.next()??, parts.next()??, parts.next()??);
        if parts.next().is_some() {
            return None;
        }
        date
    } else if let Some(month) = month(first) {
        let day = number(words.next()?)?;
        (number(words.next()?)?, month, day)
    } else {
        let month = month(words.next()?)?;
        (number(words.next()?)?, month, number(first)?)
    };
    let time = match words.peek() {
        Some(word) if word.contains(':') => {
            let seconds = clock(word.strip_suffix('Z').unwrap_or(word))?;
            words.next();
            seconds
        }
        _ => 0,
    };
    match (words.next(), words.next()) {
        (None, None) => {}
        (Some(zone), None) if ["UTC", "GMT", "Z"].contains(&zone) => {}
        _ => return None,
    }
    let days = days(year, month, day)?;
    u32::try_from(days * SECONDS_PER_DAY + time).ok()
}

fn month(word: &str) -> Option<i64> {
    let short = word.get(..3)?.to_ascii_lowercase();
    let at = MONTHS.iter().position(|m| *m == short)?;
    i64::try_from(at + 1).ok()
}

fn number(word: &str) -> Option<i64> {
    let digits = !word.is_empty() && word.len() <= 4 && word.bytes().all(|b| b.is_ascii_digit());
    if digits { word.parse().ok() } else { None }
}

fn clock(word: &str) -> Option<i64> {
    let parts = word.split(':').map(number).collect::<Option<Vec<i64>>>()?;
    let (hour, minute, second) = match parts.as_slice() {
        [hour, minute] => (*hour, *minute, 0),
        [hour, minute, second] => (*hour, *minute, *second),
        _ => return None,
    };
    (hour < 24 && minute < 60 && second < 60).then_some(hour * 3_600 + minute * 60 + second)
}

/// Days since 1970-01-01, in the calendar whose year begins in March: there leap days
/// come last and months have a regular pattern.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(1970..=2106).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let march_year = if month <= 2 { year - 1 } else { year };
    let march_month = (month + 9) % 12;
    let day_of_year = (153 * march_month + 2) / 5 + day - 1;
    let leap_days = march_year / 4 - march_year / 100 + march_year / 400;
    const DAYS_TO_1970: i64 = 719_468;
    let days = march_year * 365 + leap_days + day_of_year - DAYS_TO_1970;
    // The 31st of April would have become the 1st of May.
    (civil(days) == (year, month, day)).then_some(days)
}

/// Year, month and day of days since 1970-01-01.
fn civil(days: i64) -> (i64, i64, i64) {
    const DAYS_PER_ERA: i64 = 146_097;
    let days = days + 719_468;
    let era = days.div_euclid(DAYS_PER_ERA);
    let of_era = days.rem_euclid(DAYS_PER_ERA);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let day_of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 {
        march_month + 3
    } else {
        march_month - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_in_every_known_form() {
        let check = |text: &str, expect: Option<u32>| assert_eq!(parse(text), expect, "{text}");
        check("0", Some(0));
        check("4294967295", Some(u32::MAX));
        check("4294967296", None);
        check("1970-01-01", Some(0));
        check("2024-02-29T12:34:56Z", Some(1_709_210_096));
        check("2024-02-29 12:34:56", Some(1_709_210_096));
        check("Feb 29 2024 12:34:56 UTC", Some(1_709_210_096));
        check("29 February 2024 12:34:56", Some(1_709_210_096));
        check("29 Feb 2024", Some(1_709_164_800));
        check("2106-02-07T06:28:15Z", Some(u32::MAX));
        check("2106-02-07T06:28:16Z", None);
        check("2023-02-29", None);
        check("2023-04-31", None);
        check("2023-13-01", None);
        check("2023-01-01T24:00:00Z", None);
        check("2023-01-01 10:00 CET", None);
        check("Tue 3", None);
        check("", None);
        check("-5", None);
    }

    #[test]
    fn every_written_date_is_read_back() {
        let mut seconds = 0u32;
        while let Some(next) = seconds.checked_add(40_009_973) {
            assert_eq!(parse(&format(seconds)), Some(seconds));
            seconds = next;
        }
        assert_eq!(format(u32::MAX), "2106-02-07T06:28:15Z");
        assert_eq!(format(951_782_400), "2000-02-29T00:00:00Z");
    }
}
