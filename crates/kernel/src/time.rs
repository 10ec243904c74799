//! Time: UTC, cut to microseconds when made, so that a value read back from either engine equals the one written.

use chrono::{DateTime, SecondsFormat, TimeZone, Utc};

/// A moment in UTC with microsecond precision.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct Time(DateTime<Utc>);

impl Time {
    /// From microseconds since 1970; outside what a database can hold it becomes 1970.
    pub fn from_unix_micros(micros: i64) -> Self {
        Self(
            Utc.timestamp_micros(micros)
                .single()
                .unwrap_or(DateTime::UNIX_EPOCH),
        )
    }

    /// From whole seconds since 1970.
    pub fn from_unix_seconds(seconds: i64) -> Self {
        Self::from_unix_micros(seconds.saturating_mul(1_000_000))
    }

    /// Microseconds since 1970.
    pub fn unix_micros(self) -> i64 {
        self.0.timestamp_micros()
    }

    /// Whole seconds since 1970, rounded down.
    pub fn unix_seconds(self) -> i64 {
        self.0.timestamp()
    }

    /// The same moment for chrono's calendar.
    pub fn to_chrono(self) -> DateTime<Utc> {
        self.0
    }

    /// Later by so many seconds (earlier when negative).
    pub fn plus_seconds(self, seconds: i64) -> Self {
        Self::from_unix_micros(
            self.unix_micros()
                .saturating_add(seconds.saturating_mul(1_000_000)),
        )
    }

    /// Later by so many milliseconds.
    pub fn plus_millis(self, millis: i64) -> Self {
        Self::from_unix_micros(
            self.unix_micros()
                .saturating_add(millis.saturating_mul(1_000)),
        )
    }

    /// Whole seconds from `earlier` to this moment, rounded down; negative when `earlier` is later.
    pub fn seconds_since(self, earlier: Time) -> i64 {
        (self.unix_micros() - earlier.unix_micros()).div_euclid(1_000_000)
    }

    /// RFC 3339 with a `Z`, fractional digits only where there are some.
    pub fn to_rfc3339(self) -> String {
        self.0.to_rfc3339_opts(SecondsFormat::AutoSi, true)
    }

    /// Reads RFC 3339, or a bare date (`2027-01-31`, midnight UTC).
    ///
    /// # Errors
    /// A sentence that shows both accepted forms.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if let Ok(moment) = DateTime::parse_from_rfc3339(text) {
            return Ok(moment.with_timezone(&Utc).into());
        }
        chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d")
            .ok()
            .and_then(|date| date.and_hms_opt(0, 0, 0))
            .map(|moment| Self(moment.and_utc()))
            .ok_or_else(|| {
                format!("'{text}' is not a time; write 2027-01-31 or 2027-01-31T23:59:59Z")
            })
    }
}

impl From<DateTime<Utc>> for Time {
    fn from(moment: DateTime<Utc>) -> Self {
        Self::from_unix_micros(moment.timestamp_micros())
    }
}

impl std::fmt::Display for Time {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.to_rfc3339())
    }
}

impl<DB: sqlx::Database> sqlx::Type<DB> for Time
where
    DateTime<Utc>: sqlx::Type<DB>,
{
    fn type_info() -> DB::TypeInfo {
        <DateTime<Utc> as sqlx::Type<DB>>::type_info()
    }
    fn compatible(ty: &DB::TypeInfo) -> bool {
        <DateTime<Utc> as sqlx::Type<DB>>::compatible(ty)
    }
}

impl<'r, DB: sqlx::Database> sqlx::Decode<'r, DB> for Time
where
    DateTime<Utc>: sqlx::Decode<'r, DB>,
{
    fn decode(value: DB::ValueRef<'r>) -> Result<Self, sqlx::error::BoxDynError> {
        <DateTime<Utc> as sqlx::Decode<'r, DB>>::decode(value).map(Into::into)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nanoseconds_are_cut_when_made() {
        let fine = Utc.timestamp_nanos(1_700_000_000_123_456_789);
        assert_eq!(Time::from(fine).unix_micros(), 1_700_000_000_123_456);
    }

    #[test]
    fn dates_and_rfc3339_are_read() {
        assert_eq!(
            Time::parse("2027-01-31").map(Time::to_rfc3339),
            Ok("2027-01-31T00:00:00Z".to_owned())
        );
        assert_eq!(
            Time::parse("2027-01-31T01:00:00+01:00").map(Time::to_rfc3339),
            Ok("2027-01-31T00:00:00Z".to_owned())
        );
        assert!(Time::parse("31.1.2027").is_err());
    }
}
