//! The loop around the state: keys and the clock come in, pictures go out.

use std::io::Write as _;
use std::time::{Duration, Instant};

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use ratatui::crossterm::terminal::{disable_raw_mode, enable_raw_mode};
use tokio::sync::mpsc;

use super::TopError;
use super::draw::draw;
use super::state::{Connection, State, Wish};
use super::watch::{Watch, explained};
use crate::config::Secret;

/// Keys that may wait to be looked at.
const KEYS: usize = 64;
/// Shortest and longest pause before a connection is tried again.
const AGAIN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(5));
/// Longest password, in characters.
const LONGEST_PASSWORD: usize = 1_000;
/// How often the time since the loss of the connection is drawn anew.
const SECOND: Duration = Duration::from_secs(1);

/// Shows the view until the user leaves. The terminal is as it was before afterwards, also after a
/// panic.
pub(super) async fn run(state: State, watch: Watch) -> Result<(), TopError> {
    let mut terminal = ratatui::try_init().map_err(TopError::Terminal)?;
    let ended = turn(&mut terminal, state, watch).await;
    // What is wrong with the terminal now was told by what went before.
    let _ = ratatui::try_restore();
    ended
}

/// Keys and changes of the terminal's size, from a thread that waits for them.
fn events() -> mpsc::Receiver<std::io::Result<Event>> {
    let (send, receive) = mpsc::channel(KEYS);
    std::thread::spawn(move || {
        loop {
            let event = event::read();
            let failed = event.is_err();
            if send.blocking_send(event).is_err() || failed {
                return;
            }
        }
    });
    receive
}

async fn turn(
    terminal: &mut DefaultTerminal,
    mut state: State,
    mut watch: Watch,
) -> Result<(), TopError> {
    let mut events = events();
    loop {
        let (screen, plan) = (state.screen, state.plan_question());
        // A look that the console is slow with holds up no key.
        let asked = Instant::now();
        let mut wanted = {
            let looking = watch.look(screen, plan.as_deref());
            tokio::pin!(looking);
            let mut wanted = false;
            loop {
                show(terminal, &mut state)?;
                tokio::select! {
                    biased;
                    event = events.recv() => match taken(&mut state, event)? {
                        Some(Wish::Quit) => return Ok(()),
                        Some(Wish::Look) => wanted = true,
                        _ => {}
                    },
                    looked = &mut looking => {
                        match looked {
                            Ok(reading) => state.read(reading),
                            Err(error) => state.lost(explained(&error), Instant::now()),
                        }
                        break wanted;
                    }
                    () = crate::timer::sleep(SECOND) => {}
                }
            }
        };
        while !wanted {
            show(terminal, &mut state)?;
            let next = match state.connection {
                Connection::Lost(..) => state.interval.clamp(AGAIN.0, AGAIN.1),
                _ => state.interval,
            };
            let rest = next.saturating_sub(asked.elapsed());
            let due = state.looks_by_itself();
            tokio::select! {
                biased;
                event = events.recv() => match taken(&mut state, event)? {
                    Some(Wish::Quit) => {
                        watch.close().await;
                        return Ok(());
                    }
                    Some(Wish::Look) => wanted = true,
                    _ => {}
                },
                () = crate::timer::sleep(rest), if due => wanted = true,
            }
        }
    }
}

/// Asks for the password of `whom`, without showing it.
pub(super) fn password(whom: &str) -> std::io::Result<Secret> {
    let mut screen = std::io::stderr();
    write!(screen, "Password for {whom}: ")?;
    screen.flush()?;
    enable_raw_mode()?;
    let typed = typed();
    disable_raw_mode()?;
    writeln!(screen)?;
    typed
}

fn typed() -> std::io::Result<Secret> {
    // Large enough at once: growing would leave copies behind.
    let mut typed = zeroize::Zeroizing::new(String::with_capacity(4 * LONGEST_PASSWORD));
    let interrupted = || std::io::Error::from(std::io::ErrorKind::Interrupted);
    loop {
        let Event::Key(key) = event::read()? else {
            continue;
        };
        let held = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            _ if key.kind == KeyEventKind::Release => {}
            KeyCode::Enter => return Ok(Secret::new(typed.as_str())),
            KeyCode::Char('c' | 'd') if held => return Err(interrupted()),
            KeyCode::Backspace => {
                typed.pop();
            }
            KeyCode::Char(letter) if typed.chars().count() < LONGEST_PASSWORD => typed.push(letter),
            _ => {}
        }
    }
}

fn show(terminal: &mut DefaultTerminal, state: &mut State) -> Result<(), TopError> {
    let drawn = terminal.draw(|frame| draw(frame, state, Instant::now()));
    drawn.map(|_| ()).map_err(TopError::Terminal)
}

/// What an event asks for; the end of all events is the end of the terminal.
fn taken(
    state: &mut State,
    event: Option<std::io::Result<Event>>,
) -> Result<Option<Wish>, TopError> {
    match event {
        None => Ok(Some(Wish::Quit)),
        Some(Err(error)) => Err(TopError::Terminal(error)),
        Some(Ok(Event::Key(key))) if key.kind != KeyEventKind::Release => Ok(Some(state.key(key))),
        Some(Ok(_)) => Ok(None),
    }
}
