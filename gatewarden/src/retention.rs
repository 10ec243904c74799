//! How long what is recorded is kept, kind by kind, and forgetting what is older: in short transactions, so that nothing
//! waits. What is still needed (open sessions, people, journalled reports) is no matter of retention.

use enrol::batch::passwords;
use kernel::{Error, Kernel, Time};

kernel::config! {
    /// How long what is recorded is kept, in days; 0 keeps it for ever. What is older is deleted within hours.
    pub struct RetentionConfig in "retention" {
        /// Sessions that have ended, counted from their end.
        sessions_days: u32 = 730,
        /// What each person used on each day.
        usage_days: u32 = 1100,
        /// Attempts to log in, which 'explain' tells of.
        attempts_days: u32 = 30,
        /// What was wanted of sessions that went on (Disconnect, CoA), and what their NASes said.
        orders_days: u32 = 90,
        /// Restarts of NASes; they are held against reports that come late.
        restarts_days: u32 = 30,
        /// Accounting reports that could not be read as such and were kept whole.
        unreadable_days: u32 = 90,
        /// Events, by which servers hear of changes; one that was away for longer loads everything anew.
        events_days: u32 = 7,
    }
}

/// The moment before which things of a kind are forgotten; none when they are kept for ever.
fn before(now: Time, days: u32) -> Option<Time> {
    (days > 0).then(|| now.plus_seconds(-i64::from(days) * 86_400))
}

/// Forgets what is old by now.
///
/// # Errors
/// [`Error::Engine`]; what was committed stays forgotten, the rest is for the next time.
pub async fn forget(kernel: &Kernel, kept: &RetentionConfig) -> Result<(), Error> {
    let now = kernel.now();
    if let Some(before) = before(now, kept.events_days) {
        kernel.db.forget_events(before).await?;
    }
    if let Some(before) = before(now, kept.attempts_days) {
        usage::forget_attempts(kernel, before).await?;
    }
    if let Some(before) = before(now, kept.orders_days) {
        usage::order::forget_orders(kernel, before).await?;
    }
    if let Some(before) = before(now, kept.restarts_days) {
        usage::forget_restarts(kernel, before).await?;
    }
    if let Some(before) = before(now, kept.unreadable_days) {
        usage::forget_unreadable(kernel, before).await?;
    }
    if let Some(before) = before(now, kept.sessions_days) {
        usage::forget_sessions(kernel, before).await?;
    }
    if let Some(before) = before(now, kept.usage_days) {
        usage::counters::forget_usage(kernel, before).await?;
    }
    access::lock::forget_ended(kernel, now).await?;
    let asked_until = now.plus_seconds(-passwords::KEPT_SECONDS);
    let forgotten = passwords::forget_before(kernel, asked_until).await?;
    if forgotten > 0 {
        tracing::info!(
            "{forgotten} passwords that imports made up were not asked for and are forgotten"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_days_keep_for_ever() {
        let now = Time::from_unix_seconds(1_800_014_400);
        assert_eq!(before(now, 0), None);
        assert_eq!(before(now, 1), Some(Time::from_unix_seconds(1_799_928_000)));
    }
}
