//! Waiting for what takes time, with one knob for slow machines.

use std::time::{Duration, Instant};

/// `limit`, longer by the factor in `PGWEIR_TEST_PATIENCE`.
pub(crate) fn patient(limit: Duration) -> Duration {
    let factor = std::env::var("PGWEIR_TEST_PATIENCE")
        .ok()
        .and_then(|text| text.parse::<f64>().ok())
        .unwrap_or(1.0);
    limit.mul_f64(factor)
}

/// Asks `question` again and again until it gives a value; panics with `what` if it has not
/// after 10 patient seconds.
pub(crate) fn eventually<T>(what: &str, mut question: impl FnMut() -> Option<T>) -> T {
    let limit = patient(Duration::from_secs(10));
    let begin = Instant::now();
    loop {
        if let Some(answer) = question() {
            return answer;
        }
        assert!(
            begin.elapsed() < limit,
            "still waiting after {limit:?}: {what}"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}
