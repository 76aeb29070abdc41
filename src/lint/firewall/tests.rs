use super::*;
use crate::lint::judge;
use crate::sql::{self, Lexing};
use proptest::prelude::*;

fn statement(text: &str) -> Statement {
    let reading = sql::read(text.as_bytes(), Lexing::default());
    let analysis = judge::profile(text, &reading, &Default::default());
    let analysis = analysis.unwrap_or_else(|_| Analysis::unknown());
    let (list, rows) = (reading.longest_list, reading.rows);
    Statement::new(&analysis, identity(&reading.shape), list, rows, true)
}

fn see(profile: &mut Profile, text: &str) -> Verdict {
    profile.see(statement(text), 100, || text.to_owned())
}

fn learned(texts: &[&str]) -> Profile {
    let mut profile = Profile {
        mode: Mode::Learn,
        ..Profile::default()
    };
    for text in texts {
        assert_eq!(see(&mut profile, text), Verdict::Pass);
    }
    profile.mode = Mode::Protect;
    profile
}

#[test]
fn what_was_learned_passes_with_other_values_and_nothing_else() {
    let mut profile = learned(&[
        "SELECT id FROM users WHERE name = 'a' AND pw = 'b'",
        "SELECT id FROM users WHERE id IN (1, 2)",
        "INSERT INTO log (a, b) VALUES (1, 'x')",
    ]);
    for text in [
        "select id from users where name = 'o''brien' and pw = 'c' -- page 7",
        "SELECT id FROM users WHERE id IN (1, 2, 3, 4, 5, 6, 7, 8)",
        "INSERT INTO log (a, b) VALUES (2, 'y'), (3, 'z')",
        "BEGIN",
        "ROLLBACK TO SAVEPOINT a",
    ] {
        assert_eq!(see(&mut profile, text), Verdict::Pass, "{text}");
    }
    for text in [
        "SELECT id FROM users WHERE name = '' OR '1' = '1' -- ' AND pw = 'b'",
        "SELECT id FROM users WHERE name = 'a' AND pw = 'b' UNION SELECT usesysid FROM pg_user",
        "SELECT id FROM users",
        "SELECT id FROM users WHERE name = 'a' AND pw = 'b'; DROP TABLE users",
        "SELECT pw FROM users WHERE name = 'a' AND pw = 'b'",
        "DELETE FROM log",
    ] {
        assert_eq!(see(&mut profile, text), Verdict::Unknown, "{text}");
    }
    let many = "SELECT id FROM users WHERE id IN (1, 2, 3, 4, 5, 6, 7, 8, 9)";
    assert_eq!(see(&mut profile, many), Verdict::Stretched);
    assert_eq!(profile.counts.refused, 7);
    // It is longer than what was learned, and can be allowed.
    assert!(profile.allow(statement(many).shape));
    assert_eq!(see(&mut profile, many), Verdict::Pass);
}

#[test]
fn the_sign_of_a_number_is_part_of_its_value() {
    let mut profile = learned(&[
        "SELECT a - 1 FROM t WHERE b = 1 AND c BETWEEN 1 AND 2 LIMIT 3",
        "INSERT INTO t (a, b) VALUES (1, 2)",
    ]);
    for text in [
        "SELECT a - 1 FROM t WHERE b = -1 AND c BETWEEN - 1 AND +2 LIMIT 3",
        "SELECT a - 1 FROM t WHERE b=-5 AND c BETWEEN -9 AND -2 LIMIT 3",
        "INSERT INTO t (a, b) VALUES (-1, -2)",
    ] {
        assert_eq!(see(&mut profile, text), Verdict::Pass, "{text}");
    }
    for text in [
        "SELECT a + 1 FROM t WHERE b = 1 AND c BETWEEN 1 AND 2 LIMIT 3",
        "SELECT a FROM t WHERE b = 1 AND c BETWEEN 1 AND 2 LIMIT 3",
        "SELECT a - 1 FROM t WHERE b - 1 AND c BETWEEN 1 AND 2 LIMIT 3",
    ] {
        assert_eq!(see(&mut profile, text), Verdict::Unknown, "{text}");
    }
}

#[test]
fn schema_changes_and_several_statements_are_not_learned() {
    for text in [
        "DROP TABLE a",
        "SELECT 1; SELECT 2",
        "SELECT 1; FROBNICATE TABLE a",
        "FROBNICATE TABLE a",
        "DO $$ BEGIN END $$",
        "CREATE TABLE a AS SELECT 1",
        "ALTER SYSTEM SET a = 1",
    ] {
        let mut profile = learned(&[text]);
        assert_eq!(see(&mut profile, text), Verdict::Unknown, "{text}");
        // But they can be allowed.
        assert!(profile.allow(statement(text).shape));
        assert_eq!(see(&mut profile, text), Verdict::Pass, "{text}");
    }
    let mut profile = learned(&[]);
    assert!(!profile.allow(7));
}

#[test]
fn learning_ends_by_itself_and_protecting_does_not_begin_so() {
    let mut profile = Profile {
        mode: Mode::Learn,
        learn_for: 60,
        ..Profile::default()
    };
    let mut at = |now: u64, text: &str| {
        let verdict = profile.see(statement(text), now, || text.to_owned());
        (verdict, profile.mode)
    };
    assert_eq!(at(1000, "SELECT 1"), (Verdict::Pass, Mode::Learn));
    assert_eq!(at(1059, "SELECT a FROM b"), (Verdict::Pass, Mode::Learn));
    assert_eq!(
        at(1060, "SELECT c FROM d"),
        (Verdict::Unknown, Mode::Detect)
    );
    assert_eq!(
        at(9_999_999, "SELECT a FROM b"),
        (Verdict::Pass, Mode::Detect)
    );
    assert_eq!(profile.counts.refused, 0);
}

#[test]
fn a_text_that_was_not_read_to_its_end_is_not_known() {
    let mut profile = learned(&["SELECT 1"]);
    let long = Statement {
        whole: false,
        ..statement("SELECT 1")
    };
    assert_eq!(profile.see(long, 1, String::new), Verdict::Unread);
}

#[test]
fn what_is_written_is_read_and_a_bad_file_changes_nothing() {
    let mut profile = learned(&["SELECT a FROM b WHERE c = 1", "SELECT 'ü'"]);
    let text = profile.take_changed().expect("changed");
    assert!(profile.take_changed().is_none());
    let mut other = Profile::default();
    other.read(&text).expect("reads");
    assert_eq!(other.write(), text);
    let good = other.clone();
    for (bad, line) in [
        ("", 1),
        ("{}", 1),
        ("{\"firewall\":2,\"since\":0}\nx", 2),
        ("{\"firewall\":2,\"since\":0}\n{\"shape\":\"zz\"}", 2),
        (
            &*format!("{text}{}\n", text.lines().nth(1).expect("a line")),
            4,
        ),
    ] {
        assert_eq!(other.read(bad).expect_err(bad).0, line, "{bad}");
        assert_eq!(other, good);
    }
}

proptest! {
    /// Whatever comes while it learns passes when it protects, if it may be learned at all.
    #[test]
    fn nothing_that_was_learned_is_refused(lists in prop::collection::vec((0u128..20, 0u32..3000, 0u32..3000), 1..50)) {
        let mut profile = Profile { mode: Mode::Learn, ..Profile::default() };
        let one = |(shape, longest_list, rows): (u128, u32, u32)| Statement {
            shape, longest_list, rows, whole: true, control: false, learnable: true,
        };
        for &seen in &lists {
            prop_assert_eq!(profile.see(one(seen), 1, String::new), Verdict::Pass);
        }
        let mut read = Profile { mode: Mode::Protect, ..Profile::default() };
        read.read(&profile.write()).expect("reads");
        for &seen in &lists {
            prop_assert_eq!(read.see(one(seen), 2, String::new), Verdict::Pass);
        }
    }

    #[test]
    fn no_file_panics(text in "\\PC{0,200}") {
        let _ = Profile::default().read(&text);
    }
}
