use super::*;
use crate::admin::show::SHOWS;
use crate::top::totals::QUESTIONS;

/// An answer with these columns and rows of text.
pub(crate) fn answer(columns: &[&str], rows: &[&[&str]]) -> Answer {
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    let row = |row: &&[&str]| row.iter().map(|value| Some((*value).to_owned())).collect();
    Answer {
        columns: owned(columns),
        rows: rows.iter().map(row).collect(),
    }
}

fn screen(name: &str) -> &'static Screen {
    SCREENS
        .iter()
        .find(|screen| screen.name == name)
        .expect("a screen")
}

fn lines(name: &str, now: &Answer, before: Option<(&Answer, f64)>) -> Vec<Line> {
    let sizes = HashMap::from([("shop".to_owned(), 20.0)]);
    screen(name).lines(now, before, &sizes, SystemTime::UNIX_EPOCH)
}

fn value(name: &str, line: &Line, title: &str) -> Cell {
    let columns = screen(name).columns;
    let at = columns.iter().position(|column| column.title == title);
    line.cells[at.expect(title)].clone()
}

#[test]
fn what_is_asked_exists_and_what_is_read_is_there() {
    let asked = SCREENS.iter().map(|screen| screen.show).chain(QUESTIONS);
    for question in asked {
        let word = question
            .strip_prefix("SHOW ")
            .expect("a SHOW")
            .to_lowercase();
        assert!(SHOWS.iter().any(|show| show.name == word), "{question}");
    }
    for screen in SCREENS {
        let word = screen.show["SHOW ".len()..].to_lowercase();
        let show = SHOWS.iter().find(|show| show.name == word).expect("a SHOW");
        for name in screen.identity {
            assert!(
                show.columns.iter().any(|(known, _)| known == name),
                "{name}"
            );
        }
        // A row in which each column has a number: a name that is mistyped reads as nothing.
        let names: Vec<&str> = show.columns.iter().map(|(name, _)| *name).collect();
        let given: Vec<&str> = (names.iter())
            .map(|name| match *name {
                "state" => "active",
                "database" => "shop",
                name if name.ends_with("_time") || name.ends_with("_seen") => {
                    "1970-01-01 00:00:00 UTC"
                }
                "close_needed" => "1",
                _ => "7",
            })
            .collect();
        let now = answer(&names, &[&given]);
        let before = now.clone();
        let lines = lines(screen.name, &now, Some((&before, 1.0)));
        for (column, cell) in screen.columns.iter().zip(&lines[0].cells) {
            assert_ne!(*cell, Cell::Nothing, "{} {}", screen.name, column.title);
            assert_ne!(
                *cell,
                Cell::Text(String::new()),
                "{} {}",
                screen.name,
                column.title
            );
        }
        assert!(
            screen.sorted.is_none() || screen.sorted_by().is_some(),
            "{}",
            screen.name
        );
        assert!(screen.columns.iter().any(|column| column.rank == 0));
    }
}

#[test]
fn load_is_how_many_servers_a_statement_kept_busy_since_the_last_look() {
    let columns = ["database", "user", "shape", "calls", "server_us", "query"];
    let before = answer(&columns, &[&["shop", "me", "a", "10", "1000000", "q"]]);
    let now = answer(
        &columns,
        &[
            &["shop", "me", "a", "30", "4000000", "q"],
            &["shop", "me", "b", "1", "5", "new"],
            &["shop", "you", "a", "3", "5", "q"],
        ],
    );
    let lines = lines("statements", &now, Some((&before, 2.0)));
    assert_eq!(value("statements", &lines[0], "load"), Cell::Number(1.5));
    assert_eq!(
        value("statements", &lines[0], "calls/s"),
        Cell::Number(10.0)
    );
    assert_eq!(value("statements", &lines[1], "load"), Cell::Nothing);
    assert_eq!(
        value("statements", &lines[2], "load"),
        Cell::Nothing,
        "another user's"
    );
    // Forgotten meanwhile, and begun anew.
    let lines = self::lines("statements", &before, Some((&now, 2.0)));
    assert_eq!(value("statements", &lines[0], "load"), Cell::Number(0.0));
}

#[test]
fn pools_that_wait_stand_out_and_the_console_is_left_out() {
    let columns = ["database", "user", "cl_waiting", "maxwait", "maxwait_us"];
    let now = answer(
        &columns,
        &[
            &["pgbouncer", "pgbouncer", "0", "0", "0"],
            &["shop", "a", "0", "0", "0"],
            &["shop", "b", "3", "0", "20"],
            &["shop", "c", "3", "2", "500000"],
        ],
    );
    let lines = lines("pools", &now, None);
    let alarms: Vec<Alarm> = lines.iter().map(|line| line.alarm).collect();
    assert_eq!(alarms, [Alarm::None, Alarm::Warn, Alarm::Bad]);
    assert_eq!(
        value("pools", &lines[2], "longest"),
        Cell::Number(2_500_000.0)
    );
    assert_eq!(value("pools", &lines[2], "size"), Cell::Number(20.0));
}

#[test]
fn names_that_applications_choose_stay_on_their_line() {
    let columns = ["ptr", "application_name", "state", "database"];
    let now = answer(&columns, &[&["0x1", "a\n\u{1b}[2Jb", "waiting", "shop"]]);
    let lines = lines("clients", &now, None);
    assert_eq!(
        value("clients", &lines[0], "application"),
        Cell::text("a [2Jb")
    );
    assert_eq!(lines[0].alarm, Alarm::Warn);
}
