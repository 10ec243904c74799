//! When something happened, from three clocks that disagree.
//!
//! Ours says when the report came. Acct-Delay-Time (RFC 2866 §5.2) says how long the NAS had been trying.
//! Event-Timestamp (RFC 2869 §5.3) is the NAS's own clock, which after a power cut shows 1970 or is hours off: it is
//! believed only where it agrees with the other two.

use kernel::Time;

/// How far a NAS's clock may be from ours and still be believed.
pub const TRUST_SECONDS: i64 = 600;
/// A NAS may keep reports for days while a line is down. A longer delay is a mistake of the device and is not believed.
const MAX_DELAY_SECONDS: u32 = 7 * 86_400;

/// The moment of the event: the NAS's own where it can be believed, else ours less the delay.
pub fn of_event(received: Time, delay_seconds: Option<u32>, stamp: Option<u32>) -> Time {
    let delay = delay_seconds
        .filter(|delay| *delay <= MAX_DELAY_SECONDS)
        .unwrap_or(0);
    let ours = received.plus_seconds(-i64::from(delay));
    stamp
        .map(|seconds| Time::from_unix_seconds(i64::from(seconds)))
        .filter(|stamp| stamp.seconds_since(ours).abs() <= TRUST_SECONDS)
        .unwrap_or(ours)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_device_clock_is_believed_only_near_ours() {
        const NOW: i64 = 1_800_000_000;
        let table = [
            (None, None, 0),
            (Some(30), None, -30),
            (Some(u32::MAX), None, 0),
            (None, Some(-599), -599),
            (None, Some(-601), 0),
            (None, Some(600), 600),
            (Some(3_600), Some(-3_590), -3_590),
            (Some(3_600), Some(0), -3_600),
            (None, Some(-NOW), 0),
        ];
        for (delay, stamp, expect) in table {
            let stamp = stamp.map(|s: i64| u32::try_from(NOW + s).unwrap());
            let event = of_event(Time::from_unix_seconds(NOW), delay, stamp);
            assert_eq!(event.unix_seconds() - NOW, expect, "{delay:?} {stamp:?}");
        }
    }
}
