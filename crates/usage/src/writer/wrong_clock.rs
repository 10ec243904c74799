//! A node whose clock is wrong, or was set in the middle of sessions, writes down wrong times and loses nothing: totals come
//! from the NAS's own counters.

use crate::testing::{INTERIM, START, STOP, Sent, house};

/// How far the clock may be off when a report comes: right, an hour behind or ahead, and a month ahead.
const OFF: [i64; 4] = [0, -3_600, 3_600, 30 * 86_400];

#[tokio::test]
async fn what_was_used_is_counted_once_whatever_the_clock_says() {
    for start in OFF {
        for interim in OFF {
            for stop in OFF {
                let house = house().await;
                let life = [
                    Sent::new(START, start),
                    Sent::new(INTERIM, 300 + interim).counts(300, 10, 100),
                    Sent::new(STOP, 500 + stop)
                        .counts(500, 30, 300)
                        .number(49, 1),
                ];
                for report in &life {
                    house.apply(std::slice::from_ref(report)).await;
                }
                // Said again once the clock is right.
                house.apply(&[life[2].clone()]).await;
                let case = format!("start {start}, interim {interim}, stop {stop}");
                let rows = house.sessions().await;
                let [row] = &rows[..] else {
                    panic!("{case}: {} sessions", rows.len());
                };
                assert!(
                    row.stopped.is_some_and(|stopped| stopped >= row.started),
                    "{case}"
                );
                assert_eq!((row.input_octets, row.output_octets), (30, 300), "{case}");
                let usage = house.usage().await;
                let of = |word: &str| {
                    let rows = usage.iter().filter(|(counter, _, _)| counter == word);
                    rows.map(|(_, _, value)| value).sum::<i64>()
                };
                assert_eq!(
                    (of("input_octets"), of("output_octets")),
                    (30, 300),
                    "{case}"
                );
                assert_eq!(of("seconds"), 500, "{case}");
            }
        }
    }
}
