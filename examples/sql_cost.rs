//! What one look at a text costs: `cargo run --release --example sql_cost`.
//!
//! Prints the median over several batches, in nanoseconds per text, for each level of the cache.

use pgweir::sql::{Cache, Lexing, analyse};
use std::hint::black_box;
use std::time::Instant;

const BATCHES: usize = 15;
const ROUNDS: usize = 20_000;

fn median(mut batch: impl FnMut(usize)) -> f64 {
    let mut times: Vec<f64> = (0..BATCHES)
        .map(|_| {
            let start = Instant::now();
            for round in 0..ROUNDS {
                batch(round);
            }
            start.elapsed().as_secs_f64() * 1e9 / ROUNDS as f64
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times.get(BATCHES / 2).copied().unwrap_or_default()
}

fn main() {
    let lexing = Lexing::default();
    let join = "SELECT o.id, o.total, c.name, c.email FROM orders o JOIN customers c ON c.id = \
                o.customer_id LEFT JOIN addresses a ON a.customer_id = c.id AND a.kind = 'home' \
                WHERE o.created_at > '2026-01-01' AND o.state IN ('paid', 'sent', 'open') AND \
                c.country = 'DE' ORDER BY o.created_at DESC LIMIT 50 OFFSET 100";
    let texts = [
        ("begin", "BEGIN".to_owned()),
        (
            "select",
            "SELECT abalance FROM pgbench_accounts WHERE aid = 12345".to_owned(),
        ),
        ("join", join.to_owned()),
    ];
    println!(
        "{:>8} {:>6} {:>10} {:>10} {:>10}",
        "text", "bytes", "exact hit", "shape hit", "anew"
    );
    for (name, text) in &texts {
        let mut cache = Cache::new(4096, 4 << 20);
        for n in 0..1_000 {
            // Other texts, so that the table is not empty.
            let other = format!("set a.b{n} = 1");
            cache.analyse(other.as_bytes(), lexing);
            cache.analyse(other.as_bytes(), lexing);
        }
        cache.analyse(text.as_bytes(), lexing);
        cache.analyse(text.as_bytes(), lexing);
        let exact = median(|_| {
            black_box(cache.analyse(black_box(text.as_bytes()), lexing));
        });
        // Texts that differ in a literal only; none comes twice within the doorkeeper's memory.
        let variants: Vec<String> = (0..ROUNDS * 2)
            .map(|n| {
                text.replace("12345", &n.to_string())
                    .replace("100", &n.to_string())
            })
            .collect();
        let shape = median(|round| {
            let text = variants.get(round).unwrap_or(text);
            black_box(cache.analyse(black_box(text.as_bytes()), lexing));
        });
        let anew = median(|_| {
            black_box(analyse(black_box(text.as_bytes()), lexing));
        });
        println!(
            "{name:>8} {:>6} {exact:>10.1} {shape:>10.1} {anew:>10.1}",
            text.len()
        );
    }
}
