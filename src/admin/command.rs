//! The commands, one row each: name, form, help, who may run it, what it does.

use std::future::Future;
use std::pin::Pin;

use super::Rights;
use super::error::ConsoleError;
use super::execute::{self, Answer, Env};
use super::show;
use super::syntax::Argument;

/// What follows a command's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// Nothing.
    Nothing,
    /// A database, or nothing for all.
    OptionalDatabase,
    /// A database.
    Database,
    /// A database, and perhaps `TO` a server.
    Switchover,
    /// `id` or `ptr` of a client.
    Client,
    /// Nothing, `WAIT_FOR_CLIENTS` or `WAIT_FOR_SERVERS`.
    Shutdown,
    /// `name = value` or `name TO value`.
    Assignment,
    /// A word that SHOW knows.
    Subject,
    /// `FINDINGS`.
    Findings,
    /// A finding, `FOR` a time and a `REASON`.
    Acknowledge,
    /// A profile of the firewall and a shape.
    Allow,
    /// `ROUTE`, a database and a statement.
    Route,
}

/// A command being carried out. Dropping it gives up the waiting, not what was done.
pub type Running<'a> = Pin<Box<dyn Future<Output = Result<Answer, ConsoleError>> + Send + 'a>>;

/// One row.
pub struct Command {
    /// Name, in lower case.
    pub name: &'static str,
    /// Another name.
    pub alias: Option<&'static str>,
    /// The form, as SHOW HELP prints it.
    pub form: &'static str,
    /// What it does.
    pub help: &'static str,
    /// Who may.
    pub needs: Rights,
    /// What follows.
    pub takes: Takes,
    /// Does it.
    pub run: for<'a> fn(&'a Env, &'a Argument) -> Running<'a>,
}

impl std::fmt::Debug for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.form)
    }
}

/// The table.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "show",
        alias: Some("select"),
        form: "SHOW ...",
        help: "Shows what the next line lists.",
        needs: Rights::Stats,
        takes: Takes::Subject,
        run: |env, argument| Box::pin(execute::show(env, argument)),
    },
    Command {
        name: "set",
        alias: None,
        form: "SET key = value",
        help: "Changes a setting (see SHOW CONFIG) until the next RELOAD, with the checks of the configuration file; also `SET key TO 'value'`. What drivers set when they connect, such as `DateStyle`, is accepted and ignored.",
        needs: Rights::Admin,
        takes: Takes::Assignment,
        run: |env, argument| Box::pin(execute::set(env, argument)),
    },
    Command {
        // Two words: it is found as SET.
        name: "set rule",
        alias: None,
        form: "SET RULE '<rule>[:<kind>]' ACTION '<action>' [FOR] [DATABASE '<db>'] [USER '<user>'] [APP '<name>']",
        help: "Changes what is done about a rule (off, log, notice, annotate, block), at once and for clients that are connected too, until the next RELOAD.",
        needs: Rights::Admin,
        takes: Takes::Assignment,
        run: |env, argument| Box::pin(execute::set(env, argument)),
    },
    Command {
        name: "ack",
        alias: None,
        form: "ACK '<finding>' [FOR '<time>'] [REASON '<text>']",
        help: "Logs nothing about a finding for that time (30 days if none is given); it is still counted.",
        needs: Rights::Admin,
        takes: Takes::Acknowledge,
        run: |env, argument| Box::pin(execute::acknowledge(env, argument)),
    },
    Command {
        name: "reset",
        alias: None,
        form: "RESET FINDINGS",
        help: "Forgets all findings.",
        needs: Rights::Admin,
        takes: Takes::Findings,
        run: |env, argument| Box::pin(execute::reset(env, argument)),
    },
    Command {
        name: "allow",
        alias: None,
        form: "ALLOW '<profile>' '<shape>'",
        help: "Lets the firewall pass statements of a shape that it saw and did not know; SHOW FIREWALL_UNKNOWN lists them.",
        needs: Rights::Admin,
        takes: Takes::Allow,
        run: |env, argument| Box::pin(execute::allow(env, argument)),
    },
    Command {
        // Two words: it is found as SET.
        name: "set firewall",
        alias: None,
        form: "SET FIREWALL '<profile>' '<mode>'",
        help: "Changes what a profile of the firewall does (off, learn, detect, protect), at once and for clients that are connected too, until the next restart or a RELOAD with another mode.",
        needs: Rights::Admin,
        takes: Takes::Assignment,
        run: |env, argument| Box::pin(execute::set(env, argument)),
    },
    Command {
        name: "advise",
        alias: None,
        form: "ADVISE <db>",
        help: "Has the catalogue advisor look at a database now: its schema, and the plans of its costliest statements. What it finds is in SHOW FINDINGS.",
        needs: Rights::Admin,
        takes: Takes::Database,
        run: |env, argument| Box::pin(execute::advise(env, argument)),
    },
    Command {
        name: "switchover",
        alias: None,
        form: "SWITCHOVER <db> [TO <host:port>]",
        help: "Makes a replica of a cluster its primary and loses nothing: holds new transactions back, waits for those under way and until the replica has replayed everything, promotes it and goes on there. If a step before the promotion fails, all is as it was. The old primary goes on running and gets nothing any more. See docs/replicas.md.",
        needs: Rights::Admin,
        takes: Takes::Switchover,
        run: |env, argument| Box::pin(execute::switchover(env, argument)),
    },
    Command {
        name: "explain",
        alias: None,
        form: "EXPLAIN ROUTE <db> '<statement>'",
        help: "Tells which server of a cluster would run a statement, and why, without running it. Whose writes it would have to see is not asked.",
        needs: Rights::Admin,
        takes: Takes::Route,
        run: |env, argument| Box::pin(execute::explain_route(env, argument)),
    },
    Command {
        name: "reload",
        alias: None,
        form: "RELOAD",
        help: "Reads the configuration anew; a mistake in it changes nothing.",
        needs: Rights::Admin,
        takes: Takes::Nothing,
        run: |env, argument| Box::pin(execute::reload(env, argument)),
    },
    Command {
        name: "pause",
        alias: None,
        form: "PAUSE [<db>]",
        help: "Gives out no server any more and waits until all have come back and are closed. Giving up the waiting leaves it paused.",
        needs: Rights::Admin,
        takes: Takes::OptionalDatabase,
        run: |env, argument| Box::pin(execute::pause(env, argument)),
    },
    Command {
        name: "resume",
        alias: None,
        form: "RESUME [<db>]",
        help: "Ends PAUSE and KILL; without a name for every database.",
        needs: Rights::Admin,
        takes: Takes::OptionalDatabase,
        run: |env, argument| Box::pin(execute::resume(env, argument)),
    },
    Command {
        name: "disable",
        alias: None,
        form: "DISABLE <db>",
        help: "Turns new clients of a database away.",
        needs: Rights::Admin,
        takes: Takes::Database,
        run: |env, argument| Box::pin(execute::disable(env, argument)),
    },
    Command {
        name: "enable",
        alias: None,
        form: "ENABLE <db>",
        help: "Ends DISABLE.",
        needs: Rights::Admin,
        takes: Takes::Database,
        run: |env, argument| Box::pin(execute::enable(env, argument)),
    },
    Command {
        name: "reconnect",
        alias: None,
        form: "RECONNECT [<db>]",
        help: "Closes each server connection as soon as its client lets it go.",
        needs: Rights::Admin,
        takes: Takes::OptionalDatabase,
        run: |env, argument| Box::pin(execute::reconnect(env, argument)),
    },
    Command {
        name: "wait_close",
        alias: None,
        form: "WAIT_CLOSE [<db>]",
        help: "Waits until the server connections that RECONNECT or RELOAD marked are closed.",
        needs: Rights::Admin,
        takes: Takes::OptionalDatabase,
        run: |env, argument| Box::pin(execute::wait_close(env, argument)),
    },
    Command {
        name: "kill",
        alias: None,
        form: "KILL [<db>]",
        help: "Closes clients and servers at once and leaves the database paused.",
        needs: Rights::Admin,
        takes: Takes::OptionalDatabase,
        run: |env, argument| Box::pin(execute::kill(env, argument)),
    },
    Command {
        name: "kill_client",
        alias: None,
        form: "KILL_CLIENT <id>",
        help: "Closes one client, by the id (or ptr) of SHOW CLIENTS.",
        needs: Rights::Admin,
        takes: Takes::Client,
        run: |env, argument| Box::pin(execute::kill_client(env, argument)),
    },
    Command {
        name: "shutdown",
        alias: None,
        form: "SHUTDOWN [WAIT_FOR_SERVERS|WAIT_FOR_CLIENTS]",
        help: "Ends the process: at once, when the transactions have ended, or when the clients have left.",
        needs: Rights::Admin,
        takes: Takes::Shutdown,
        run: |env, argument| Box::pin(execute::shutdown(env, argument)),
    },
];

/// The row of a name in lower case.
pub fn find(name: &str) -> Option<&'static Command> {
    COMMANDS
        .iter()
        .find(|command| command.name == name || command.alias == Some(name))
}

/// Text of SHOW HELP.
pub fn help() -> String {
    let subjects: Vec<String> = std::iter::once("HELP".to_owned())
        .chain(show::SHOWS.iter().map(|show| show.name.to_uppercase()))
        .collect();
    let mut text = format!("Console usage\n\tSHOW {}", subjects.join("|"));
    for command in COMMANDS.iter().filter(|command| command.name != "show") {
        text.push_str("\n\t");
        text.push_str(command.form);
    }
    text
}

/// The page `docs/console.md`.
pub fn markdown() -> String {
    let mut page = String::from(
        "# The console\n\nConnect with psql to the database `pgweir` or `pgbouncer` as a user of `admin_users` (every command) or `stats_users` (only SHOW). Both the simple and the extended protocol work, without parameters of statements. Columns, types and texts are PgBouncer's.\n\n`SHOW VERSION` names the version of PgBouncer whose console this is before pgweir's own, because exporters and agents choose their columns by it.\n\n`PAUSE` and `WAIT_CLOSE` wait. Whoever cancels them or hangs up ends only the waiting: the pause stays until `RESUME`.\n\n## Commands\n\n| command | what it does | who |\n|---|---|---|\n",
    );
    for command in COMMANDS {
        let who = match command.needs {
            Rights::Stats => "everyone on the console",
            Rights::Admin => "`admin_users`",
        };
        let form = command.form.replace('|', "\\|");
        page.push_str(&format!("| `{form}` | {} | {who} |\n", command.help));
    }
    page.push_str("\n## SHOW\n");
    for show in show::SHOWS {
        let columns: Vec<String> = show
            .columns
            .iter()
            .map(|(name, _)| format!("`{name}`"))
            .collect();
        let word = show.name.to_uppercase();
        let columns = columns.join(", ");
        page.push_str(&format!(
            "\n### SHOW {word}\n\n{} Columns: {columns}.\n",
            show.about
        ));
    }
    page
}
