use clap::Parser;

use super::*;
use crate::top::screens::tests::answer;

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    args: TopArgs,
}

fn parsed(line: &str) -> Result<TopArgs, clap::Error> {
    Line::try_parse_from(line.split(' ')).map(|line| line.args)
}

#[test]
fn options_are_those_of_psql() {
    let args = parsed("top -h db -p 7 -U stats -d pgbouncer -n 0.5 -s findings -b").expect("valid");
    assert_eq!(args.target.host.as_deref(), Some("db"));
    assert_eq!(
        (args.target.port, args.target.user.as_deref()),
        (Some(7), Some("stats"))
    );
    assert_eq!(args.target.dbname, "pgbouncer");
    assert_eq!(
        (args.interval, args.screen.as_deref(), args.once),
        (0.5, Some("findings"), true)
    );
    let usual = parsed("top").expect("valid");
    assert_eq!((usual.interval, &*usual.target.dbname), (2.0, "pgweir"));
    for wrong in [
        "top -n 0",
        "top -n x",
        "top -s nothing",
        "top -p 99999",
        "top x",
    ] {
        parsed(wrong).expect_err(wrong);
    }
    assert_eq!(parsed("top --help").expect_err("help").exit_code(), 0);
}

#[test]
fn a_look_as_text() {
    let columns = [
        "database",
        "user",
        "cl_active",
        "cl_waiting",
        "maxwait",
        "pool_mode",
    ];
    let now = answer(
        &columns,
        &[
            &["a", "me", "1", "0", "0", "session"],
            &[
                &"b".repeat(40),
                "somebody",
                "12345",
                "1",
                "3",
                "transaction",
            ],
        ],
    );
    let screen = &SCREENS[0];
    let lines = screen.lines(
        &now,
        None,
        &std::collections::HashMap::new(),
        std::time::SystemTime::UNIX_EPOCH,
    );
    let text = plain::table(screen, &lines, 10);
    let name = format!("{}…", "b".repeat(31));
    assert_eq!(
        text.lines().collect::<Vec<_>>(),
        [
            "database                          user      clients  waiting  longest  busy  idle  size  login  tested  cancels  mode",
            "a                                 me              1        0      0µs     -     -     -      -       -        -  session",
            &format!(
                "{name}  somebody    12.3k        1    3.00s     -     -     -      -       -        -  transaction"
            ),
        ]
    );
    assert_eq!(
        plain::table(screen, &lines, 1).lines().last(),
        Some("… 1 more")
    );
}
