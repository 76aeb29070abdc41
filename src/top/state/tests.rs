use std::time::Duration;

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::*;
use crate::top::screens::tests::answer;
use crate::top::totals::tests::reading;

/// Screens by their place.
const POOLS: usize = 0;
const STATEMENTS: usize = 3;

fn press(state: &mut State, code: KeyCode) -> Wish {
    state.key(KeyEvent::new(code, KeyModifiers::NONE))
}

fn typed(state: &mut State, text: &str) {
    for letter in text.chars() {
        press(state, KeyCode::Char(letter));
    }
}

pub(crate) fn state(screen: usize) -> State {
    State::new("here:6432 as me".to_owned(), screen, Duration::from_secs(2))
}

/// A look at the statements, with calls and microseconds of each.
fn statements(start: Instant, seconds: u64, rows: &[(&str, &str, &str)]) -> Reading {
    let rows: Vec<[&str; 6]> = (rows.iter())
        .map(|(shape, calls, us)| ["shop", "me", shape, calls, us, shape])
        .collect();
    let rows: Vec<&[&str]> = rows.iter().map(|row| &row[..]).collect();
    let columns = ["database", "user", "shape", "calls", "server_us", "query"];
    reading(
        start,
        seconds,
        seconds,
        (STATEMENTS, answer(&columns, &rows)),
    )
}

fn order(state: &State) -> Vec<&str> {
    (state.lines().iter())
        .filter_map(|line| line.id.rsplit('\0').next())
        .collect()
}

fn two_looks() -> (State, Instant) {
    let (mut state, start) = (state(STATEMENTS), Instant::now());
    state.read(statements(
        start,
        0,
        &[("a1", "1", "10"), ("b2", "5", "50"), ("c3", "9", "90")],
    ));
    state.read(statements(
        start,
        2,
        &[
            ("a1", "1", "900"),
            ("b2", "5", "60"),
            ("c3", "9", "100"),
            ("d4", "2", "1"),
        ],
    ));
    (state, start)
}

#[test]
fn the_usual_order_is_by_load_and_what_is_not_known_comes_last() {
    let (mut state, _) = two_looks();
    assert_eq!(order(&state), ["a1", "b2", "c3", "d4"]);
    press(&mut state, KeyCode::Char('r'));
    assert_eq!(order(&state), ["b2", "c3", "a1", "d4"]);
    // By calls per second, total, calls.
    typed(&mut state, "sss");
    assert_eq!(state.here().sorted, Some((3, true)));
    assert_eq!(order(&state), ["c3", "b2", "d4", "a1"]);
    press(&mut state, KeyCode::Char('0'));
    assert_eq!(order(&state), ["a1", "b2", "c3", "d4"]);
    press(&mut state, KeyCode::Char('<'));
    let last = state.spec().columns.len() - 1;
    assert_eq!(
        state.here().sorted,
        Some((last, false)),
        "names from the first on"
    );
}

#[test]
fn the_selected_line_stays_selected_when_the_order_changes() {
    let (mut state, start) = two_looks();
    press(&mut state, KeyCode::Down);
    assert_eq!(state.line().map(|line| line.row), Some(1), "b2");
    let next = [
        ("c3", "9", "100"),
        ("a1", "1", "900"),
        ("b2", "5", "999999"),
    ];
    state.read(statements(start, 4, &next));
    assert_eq!(order(&state)[0], "b2");
    assert_eq!(state.here().at, 0);
    // On the first line one sees what is on top, whatever that is.
    let next = [
        ("c3", "9", "999999"),
        ("a1", "1", "900"),
        ("b2", "5", "999999"),
    ];
    state.read(statements(start, 6, &next));
    assert_eq!((order(&state)[0], state.here().at), ("c3", 0));
    // But not while reading about it.
    assert_eq!(press(&mut state, KeyCode::Enter), Wish::Look);
    assert_eq!(state.plan_question().as_deref(), Some("SHOW PLAN 'c3'"));
    let next = [
        ("c3", "9", "999999"),
        ("a1", "1", "9999999"),
        ("b2", "5", "999999"),
    ];
    state.read(statements(start, 8, &next));
    assert_eq!(state.plan_question().as_deref(), Some("SHOW PLAN 'c3'"));
    // Gone: the place is kept.
    press(&mut state, KeyCode::Esc);
    press(&mut state, KeyCode::End);
    state.read(statements(start, 10, &[("x7", "1", "1")]));
    assert_eq!((state.here().at, order(&state)[0]), (0, "x7"));
    assert_eq!(state.plan_question(), None);
}

#[test]
fn a_shape_that_is_none_goes_into_no_question() {
    let mut state = state(STATEMENTS);
    state.read(statements(
        Instant::now(),
        0,
        &[("x'; SHUTDOWN; --", "1", "1")],
    ));
    press(&mut state, KeyCode::Enter);
    assert_eq!(state.plan_question(), None);
}

#[test]
fn the_filter_is_typed_kept_and_cleared() {
    let (mut state, start) = two_looks();
    press(&mut state, KeyCode::Char('/'));
    typed(&mut state, "C3q");
    assert_eq!(state.over, Over::Filter, "q is a letter here");
    assert!(state.lines().is_empty());
    press(&mut state, KeyCode::Backspace);
    assert_eq!(order(&state), ["c3"]);
    press(&mut state, KeyCode::Enter);
    assert_eq!((state.over, order(&state)), (Over::Screen, vec!["c3"]));
    let load = state.lines()[0].cells[0].clone();
    assert_eq!(load, Cell::Number(5e-6), "filtering loses no rate");
    state.read(statements(
        start,
        4,
        &[("a1", "1", "1"), ("c3", "9", "100")],
    ));
    assert_eq!(order(&state), ["c3"]);
    press(&mut state, KeyCode::Esc);
    assert_eq!(order(&state).len(), 2);
    press(&mut state, KeyCode::Char('/'));
    typed(&mut state, &"x".repeat(500));
    assert_eq!(state.filter.len(), 80);
}

#[test]
fn screens_change_by_digits_and_arrows_and_are_looked_at_at_once() {
    let (mut state, _) = two_looks();
    assert_eq!(press(&mut state, KeyCode::Char('1')), Wish::Look);
    assert_eq!(state.screen, POOLS);
    assert!(state.lines().is_empty());
    assert_eq!(press(&mut state, KeyCode::BackTab), Wish::Look);
    assert_eq!(state.screen, SCREENS.len() - 1);
    press(&mut state, KeyCode::Tab);
    assert_eq!(state.screen, POOLS);
    assert_eq!(press(&mut state, KeyCode::Char('1')), Wish::Draw);
    assert_eq!(press(&mut state, KeyCode::Char('9')), Wish::Draw);
    // An answer that was asked for before the change is not taken for one of this screen.
    state.read(statements(Instant::now(), 9, &[("a1", "1", "1")]));
    assert!(state.lines().is_empty());
    assert_eq!(state.connection, Connection::Up);
}

#[test]
fn pause_interval_and_the_end() {
    let (mut state, _) = two_looks();
    assert!(state.looks_by_itself());
    assert_eq!(press(&mut state, KeyCode::Char(' ')), Wish::Draw);
    assert!(state.paused && !state.looks_by_itself());
    assert_eq!(press(&mut state, KeyCode::Char('R')), Wish::Look);
    assert_eq!(press(&mut state, KeyCode::Char('p')), Wish::Look);
    typed(&mut state, "+");
    assert_eq!(state.interval, Duration::from_secs(4));
    typed(&mut state, &"-".repeat(20));
    assert_eq!(state.interval, INTERVALS.0);
    typed(&mut state, &"+".repeat(20));
    assert_eq!(state.interval, INTERVALS.1);
    assert_eq!(press(&mut state, KeyCode::Char('?')), Wish::Draw);
    assert_eq!(
        press(&mut state, KeyCode::Char('q')),
        Wish::Draw,
        "leaves the help only"
    );
    assert_eq!(press(&mut state, KeyCode::Char('q')), Wish::Quit);
    let interrupt = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    state.over = Over::Filter;
    assert_eq!(state.key(interrupt), Wish::Quit);
}

#[test]
fn the_window_moves_as_little_as_it_must() {
    let mut state = state(STATEMENTS);
    let names: Vec<String> = (0..20).map(|n| format!("{n:02}")).collect();
    let rows: Vec<(&str, &str, &str)> = names.iter().map(|name| (&**name, "1", "1")).collect();
    state.read(statements(Instant::now(), 0, &rows));
    state.page = 5;
    assert_eq!(state.window(5), 0);
    press(&mut state, KeyCode::PageDown);
    assert_eq!((state.here().at, state.window(5)), (5, 1));
    press(&mut state, KeyCode::Up);
    assert_eq!(state.window(5), 1);
    press(&mut state, KeyCode::End);
    assert_eq!((state.here().at, state.window(5)), (19, 15));
    press(&mut state, KeyCode::Home);
    assert_eq!(state.window(5), 0);
    assert_eq!(state.window(50), 0);
}

#[test]
fn a_lost_connection_keeps_what_was_read_and_since_when() {
    let (mut state, start) = two_looks();
    state.lost("refused".to_owned(), start);
    state.lost("still".to_owned(), start + Duration::from_secs(9));
    assert_eq!(
        state.connection,
        Connection::Lost("still".to_owned(), start)
    );
    assert_eq!(state.lines().len(), 4);
}
