use std::time::Duration;

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::*;
use crate::top::screens::tests::answer;
use crate::top::state::tests::state;
use crate::top::totals::tests::reading;

/// What a terminal of this size shows, line by line.
fn picture(state: &mut State, size: (u16, u16), now: Instant) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(size.0, size.1)).expect("a terminal");
    terminal
        .draw(|frame| draw(frame, state, now))
        .expect("drawn");
    let buffer = terminal.backend().buffer();
    let line = |y| {
        let cells = (0..size.0).map(|x| buffer[(x, y)].symbol().to_owned());
        cells.collect::<String>().trim_end().to_owned()
    };
    (0..size.1).map(line).collect()
}

fn pools(start: Instant) -> State {
    let mut state = state(0);
    let columns = [
        "database",
        "user",
        "cl_active",
        "cl_waiting",
        "maxwait",
        "maxwait_us",
        "sv_active",
        "sv_idle",
        "sv_login",
        "sv_tested",
        "sv_active_cancel",
        "pool_mode",
    ];
    let rows: [&[&str]; 2] = [
        &[
            "a", "me", "5", "0", "0", "0", "3", "4", "0", "0", "0", "session",
        ],
        &[
            "shop",
            "app",
            "12345",
            "2",
            "1",
            "500000",
            "20",
            "0",
            "1",
            "0",
            "0",
            "transaction",
        ],
    ];
    for (seconds, count) in [(0, 0), (2, 100)] {
        let answer = answer(&columns, &rows);
        state.read(reading(start, seconds, count, (0, answer)));
    }
    state
}

#[test]
fn numbers_stand_below_each_other() {
    let start = Instant::now();
    let shown = picture(&mut pools(start), (110, 9), start);
    assert_eq!(
        shown,
        [
            "pgweir top  here:6432 as me                                                          every 2.00s  00:00:02 UTC",
            "shutdown: wait_for_clients  PAUSED: b  tx/s 50.0  waiting 2 (longest 1.00s)  servers 5 of 11 busy",
            " 1 pools   2 servers   3 replicas   4 statements   5 findings   6 clients",
            "  database       user          clients  waiting longest▼    busy    idle    size   login  cancels mode",
            "! shop           app             12.3k        2    1.50s      20       0       -       1        0 transaction",
            "  a              me                  5        0      0µs       3       4      20       0        0 session",
            "",
            "",
            "1/2  Enter detail  s r sort  / filter  p pause  ? help  q quit",
        ]
    );
}

#[test]
fn what_does_not_fit_is_left_out_by_rank() {
    let start = Instant::now();
    let mut state = pools(start);
    let titles = |state: &mut State, width| {
        let shown = picture(state, (width, 14), start);
        let titles = shown
            .iter()
            .find(|line| line.contains("database"))
            .expect("titles");
        titles.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(
        titles(&mut state, 70),
        "database user waiting longest▼ busy idle"
    );
    assert_eq!(titles(&mut state, 30), "database user");
    for screen in 0..SCREENS.len() {
        state.screen = screen;
        for (width, height) in [(1, 1), (29, 6), (30, 6), (31, 7), (80, 24), (500, 100)] {
            let shown = picture(&mut state, (width, height), start);
            assert_eq!(shown.len(), usize::from(height));
        }
    }
}

#[test]
fn a_lost_connection_is_told_above_what_was_read() {
    let start = Instant::now();
    let mut state = pools(start);
    state.lost("Connection refused".to_owned(), start);
    let shown = picture(&mut state, (80, 14), start + Duration::from_secs(65));
    assert_eq!(
        shown[1],
        "NO CONNECTION for 1m05, trying again: Connection refused"
    );
    assert!(
        shown.iter().any(|line| line.starts_with("! shop")),
        "{shown:#?}"
    );
}

#[test]
fn help_filter_and_detail() {
    let start = Instant::now();
    let mut state = pools(start);
    let press = |state: &mut State, code| state.key(KeyEvent::new(code, KeyModifiers::NONE));
    press(&mut state, KeyCode::Char('?'));
    let shown = picture(&mut state, (100, 30), start).join("\n");
    for (keys, about) in KEYS {
        assert!(
            shown.contains(keys) && shown.contains(about),
            "{keys}: {shown}"
        );
    }
    press(&mut state, KeyCode::Esc);
    press(&mut state, KeyCode::Char('/'));
    press(&mut state, KeyCode::Char('z'));
    let shown = picture(&mut state, (100, 20), start);
    assert_eq!(shown[19], "/z▏");
    assert!(
        shown.iter().any(|line| line.contains("no line has \"z\"")),
        "{shown:#?}"
    );
    press(&mut state, KeyCode::Esc);
    press(&mut state, KeyCode::Enter);
    let shown = picture(&mut state, (100, 30), start);
    assert!(
        shown.iter().any(|line| line == "  cl_active         12345"),
        "{shown:#?}"
    );
    // Nothing is behind the end.
    for _ in 0..100 {
        press(&mut state, KeyCode::PageDown);
    }
    let shown = picture(&mut state, (100, 10), start);
    assert!(
        shown.iter().any(|line| line.contains("pool_mode")),
        "{shown:#?}"
    );
    let Over::Detail(from) = state.over else {
        panic!("{:?}", state.over);
    };
    assert!(from < 20, "{from}");
}

#[test]
fn before_the_first_look() {
    let mut state = state(4);
    let shown = picture(&mut state, (80, 10), Instant::now());
    assert!(
        shown.iter().any(|line| line == " connecting …"),
        "{shown:#?}"
    );
}
