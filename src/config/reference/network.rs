//! Keys about listening, logins, TLS and sockets.

use super::super::field::Field::{
    Addresses, Auth, Binding, Bool, Count, File, Hidden, HttpAddress, Millis, Mode, Names, OptText,
    Origins, Port, Protocols, Proxying, Seconds, Size32, Ssl, Text,
};
use super::Key;

pub(super) const KEYS: &[Key] = &[
    Key::process(
        "listen_addr",
        "",
        Addresses(|s| &mut s.listen_addr),
        "Addresses to listen on for clients, numeric or names, separated by commas; `*` is every address of IPv4 and IPv6. Empty: only the unix socket.",
    )
    .toml("127.0.0.1", "a first try over TCP should work, and loopback shows nothing to the network")
    .needs_restart(),
    Key::process(
        "listen_port",
        "6432",
        Port(|s| &mut s.listen_port),
        "Port for clients. It is also part of the unix socket's name, `.s.PGSQL.PORT`.",
    )
    .needs_restart(),
    Key::process(
        "listen_targets",
        "",
        Names(|s| &mut s.listen_targets),
        "Ports for clients, besides `listen_port`, through which a database of several servers is one for the primary or for replicas alone, as `5433 = standby`; the words are those of `target_session_attrs`. What a client asks for itself comes first, what the port says before what its database does. `listen_port` may be among them. Elsewhere than in such databases all ports are alike.",
    )
    .needs_restart()
    .ours(),
    Key::process(
        "listen_backlog",
        "128",
        Count(1, 65_535, |s| &mut s.listen_backlog),
        "How many connections the kernel holds that pgweir has not accepted yet. The system's own limit (`net.core.somaxconn`) also applies.",
    )
    .needs_restart(),
    Key::process(
        "so_reuseport",
        "0",
        Bool(|s| &mut s.so_reuseport),
        "Let several processes listen on the same address and port; the kernel spreads connections over them. Each has its own pools and limits, and its own `unix_socket_dir`. For a restart without a pause, or to run beside another version. Set `peer_id` and the peers too, or cancel requests get lost.",
    )
    .needs_restart(),
    Key::process(
        "peer_id",
        "0",
        Count(0, 16_383, |s| &mut s.peer_id),
        "Number of this process among those that share its port; the others are in the sections `peers`. It is part of the key that clients cancel with, so that a cancel request that reaches another process is passed on to this one. 0: there are no others.",
    )
    .needs_restart(),
    Key::process(
        "unix_socket_dir",
        "/tmp",
        Text(|s| &mut s.unix_socket_dir),
        "Directory of the unix socket for clients; a name that starts with `@` is in the abstract name space. Empty: no unix socket. Databases without `host` in a pgbouncer.ini are looked for here too.",
    )
    .needs_restart(),
    Key::process(
        "unix_socket_mode",
        "0777",
        Mode(|s| &mut s.unix_socket_mode),
        "Permission bits of the unix socket, in octal.",
    )
    .needs_restart(),
    Key::process(
        "unix_socket_group",
        "",
        Text(|s| &mut s.unix_socket_group),
        "Group of the unix socket, by name or number; with `unix_socket_mode` it says who may connect. Not for sockets in the abstract name space. Empty: the process's own.",
    )
    .needs_restart(),
    Key::process(
        "http_listen",
        "",
        HttpAddress(|s| &mut s.http_listen),
        "Address and port where `/metrics`, `/live` and `/ready` are served over HTTP, and the page (docs/dashboard.md) and the JSON API (docs/api.md) on a loopback address or with `http_login`. Empty: nowhere. `/metrics` has no login, so keep it off the public network.",
    )
    .toml("127.0.0.1:6433", "metrics and health should be there without asking; a pgbouncer.ini opens no port that PgBouncer would not open")
    .ours()
    .needs_restart(),
    Key::process(
        "proxy_protocol",
        "off",
        Proxying(|s| &mut s.proxy_protocol),
        "Whether a proxy or load balancer in front of pgweir tells where clients are, by the PROXY protocol (HAProxy's `send-proxy` and `send-proxy-v2`, AWS's network load balancers and others; versions 1 and 2). What it tells is the client's address for `auth_hba_file`, the log, SHOW CLIENTS, `application_name_add_host` and the audit trail. `on`: connections from `proxy_protocol_from` must begin with a header, within 5 seconds and of at most 4 kB; others are taken as they are. `required`: nobody else may connect over TCP. The header comes before everything else, TLS too. A header without an address (a health check, UNKNOWN) leaves the proxy's own.",
    )
    .ours(),
    Key::process(
        "proxy_protocol_from",
        "",
        Origins(|s| &mut s.proxy_protocol_from),
        "Whose headers `proxy_protocol` believes: addresses of the proxies, as `ADDRESS` or `ADDRESS/BITS`, and `unix` for the unix socket. Nobody who is not a proxy should be able to connect from there, since a header can name any address, and with it any line of `auth_hba_file`.",
    )
    .ours(),
    Key::process(
        "http_login",
        "0",
        Bool(|s| &mut s.http_login),
        "Whoever looks at the page and the API logs in with name and password (HTTP Basic): users of `stats_users` may look, those of `admin_users` may also give commands, with the secrets of `auth_file`. Without it everybody on the machine may look if `http_listen` is a loopback address, and nobody elsewhere. `/metrics`, `/live` and `/ready` never ask for a login.",
    )
    .ours()
    .needs_restart(),
    Key::process(
        "http_tls",
        "0",
        Bool(|s| &mut s.http_tls),
        "Serve everything of `http_listen` with TLS and the certificate of `client_tls_cert_file`. `http_login` needs it unless `http_listen` is a loopback address.",
    )
    .ours()
    .needs_restart(),
    Key::process(
        "auth_type",
        "md5",
        Auth(|s| &mut s.auth_type),
        "How clients prove who they are. `scram-sha-256` and `md5`: with the secret in `auth_file`; `md5` uses SCRAM for a user whose stored secret is a SCRAM verifier. `plain`: password in clear text, use TLS. `cert`: TLS client certificate whose common name is the user. `peer`: the operating system's user at the other end of the unix socket. `trust`: no password, but the user must be known. `ldap`: the password in clear text, which the LDAP server in `auth_ldap_options` checks; use TLS. `pam`: the same, checked by PAM. `hba`: as `auth_hba_file` says. `any`: any name without a password; the server decides. When a TOML file sets neither this nor `auth_file`: if PGPASSWORD is in the environment, `scram-sha-256` with that one user (PGUSER, else USER), and the password is also used towards the server; otherwise `any`, which is refused if pgweir then listens beyond loopback or a database has a stored password.",
    )
    .toml("scram-sha-256", "MD5 is broken and being removed from PostgreSQL"),
    Key::process(
        "auth_file",
        "",
        File(|s| &mut s.auth_file),
        "File with users and secrets, one `\"user\" \"secret\"` per line; a secret is a password, an MD5 hash or a SCRAM-SHA-256 verifier as in `pg_authid.rolpassword`. Passwords in clear text also serve for logins to the server. Read again on reload. A relative path starts at the directory of the TOML file; in a pgbouncer.ini at the working directory.",
    ),
    Key::process(
        "auth_hba_file",
        "",
        File(|s| &mut s.auth_hba_file),
        "Who may log in from where and how, in the form of `pg_hba.conf`, for `auth_type = hba`; the first line that fits counts. Types local, host, hostssl, hostnossl; databases and users as names, lists, `all`, `@file`, users and databases as `/pattern`, users as `+role`, databases as `sameuser`, `samerole`, `replication`; addresses as numbers, `all`, `samehost`, `samenet`; methods trust, reject, password, md5, scram-sha-256, peer, cert, with `map=`, ldap with the options of `auth_ldap_options`, pam with `pamservice=`; `clientcert=verify-ca` and `clientcert=verify-full` on hostssl lines ask for a certificate beside any method. Who is a member of a role (`+role`, `samerole`) is asked of the server, as `auth_user` and at each login that comes to such a line; if it cannot be asked, nobody is let in there, and on the console neither. As in PostgreSQL, superusers are members of what was granted to them only. Names of hosts can be forged, so lines with them are refused. A line that cannot be used refuses the file as a whole. Read again on reload.",
    ),
    Key::process(
        "auth_ident_file",
        "",
        File(|s| &mut s.auth_ident_file),
        "Which names of the operating system (peer) or of certificates (cert) are which users, in the form of `pg_ident.conf`, for lines of `auth_hba_file` with `map=`. Read again on reload.",
    ),
    Key::process(
        "auth_ldap_options",
        "",
        Hidden(|s| &mut s.auth_ldap_options),
        "Which LDAP server checks passwords, for `auth_type = ldap`: the options of an `ldap` line in PostgreSQL's `pg_hba.conf`, separated by spaces. `ldapserver` (several are tried in turn), `ldapport`, `ldapscheme=ldaps` or `ldaptls=1`; then `ldapprefix` and `ldapsuffix` around the user's name, or a search: `ldapbasedn`, `ldapbinddn`, `ldapbindpasswd`, `ldapsearchattribute` or `ldapsearchfilter` with `$username`; or all of it as `ldapurl`. Values with commas or spaces in double quotes. Not shown, since it may hold a password.",
    ),
    Key::process(
        "auth_ldap_ca_file",
        "",
        File(|s| &mut s.auth_ldap_ca_file),
        "Authorities (PEM) that the certificates of LDAP servers must come from, with `ldaptls=1` and `ldapscheme=ldaps`; the certificate must also name the server. Empty: the system's. Read again on reload.",
    )
    .ours(),
    Key::process(
        "patroni_ca_file",
        "",
        File(|s| &mut s.patroni_ca_file),
        "Authorities (PEM) that the certificates of Patroni's REST API must come from, for a database whose `patroni` is `https`. Read again on reload.",
    )
    .ours(),
    Key::process(
        "auth_pam_service",
        "pgbouncer",
        Text(|s| &mut s.auth_pam_service),
        "Which service of PAM `auth_type = pam` and `pam` lines without `pamservice` ask: the name of a file in `/etc/pam.d`. PgBouncer's is `pgbouncer`.",
    )
    .ours(),
    Key::process(
        "auth_pam_helper",
        "",
        File(|s| &mut s.auth_pam_helper),
        "The program that asks PAM, so that pgweir needs no libpam and modules of PAM run outside of it: at most 16 at once, for 30 seconds each. It is built by `make pam`. Empty: `pgweir-pam` beside pgweir's own program.",
    )
    .ours(),
    Key::process(
        "auth_user",
        "",
        OptText(|s| &mut s.auth_user),
        "Who asks the server for the secrets of users that are not in `auth_file`, by `auth_query`. Its own secret is in `auth_file`, unless the server wants none. Not set: who is not in `auth_file` cannot log in. Users of the console are never asked for.",
    ),
    Key::process(
        "auth_query",
        "SELECT rolname, CASE WHEN rolvaliduntil < now() THEN NULL ELSE rolpassword END FROM pg_authid WHERE rolname=$1 AND rolcanlogin",
        Text(|s| &mut s.auth_query),
        "Asks for the secret of the user `$1`: one row with the name and what `pg_authid.rolpassword` holds, or no row. A NULL in the place of the secret is nobody's password. It runs at each login, on connections that serve nothing else; nothing is remembered. `pg_authid` can be read by superusers only: better let `auth_user` call a function that is `SECURITY DEFINER`.",
    ),
    Key::process(
        "auth_dbname",
        "",
        OptText(|s| &mut s.auth_dbname),
        "Entry of `[databases]` where `auth_query` runs. Not set: in the database that the client asked for.",
    ),
    Key::process(
        "scram_iterations",
        "4096",
        Count(1, 1_000_000, |s| &mut s.scram_iterations),
        "SCRAM iterations for secrets that are stored in clear text. More makes guessing a stolen exchange dearer and every login slower.",
    ),
    Key::process(
        "client_login_timeout",
        "60",
        Seconds(|s| &mut s.client_login_timeout),
        "A client must have logged in after this time. 0: no limit.",
    ),
    Key::process(
        "login_notify_message",
        "",
        Text(|s| &mut s.login_notify_message),
        "Each client gets this as a NOTICE when it has logged in, for instance to announce maintenance. Empty: none.",
    ),
    Key::process(
        "disable_pqexec",
        "0",
        Bool(|s| &mut s.disable_pqexec),
        "Disconnect clients that send a query of the simple protocol, which can hold several statements and so makes SQL injection easier. psql and many drivers send such queries.",
    ),
    Key::process(
        "ignore_startup_parameters",
        "",
        Names(|s| &mut s.ignore_startup_parameters),
        "Parameters in a client's startup message that are dropped instead of being passed on, separated by commas.",
    ),
    Key::process(
        "application_name_add_host",
        "0",
        Bool(|s| &mut s.application_name_add_host),
        "Append the client's host and port to its `application_name` at login, so that `pg_stat_activity` tells where a query comes from.",
    ),
    Key::process(
        "client_tls_sslmode",
        "disable",
        Ssl(|s| &mut s.client_tls.mode),
        "TLS towards clients. `disable`: refused; `allow` and `prefer`: if the client asks; `require`: always; `verify-ca` and `verify-full`: always, and with a client certificate from `client_tls_ca_file`. All but `disable` need `client_tls_key_file` and `client_tls_cert_file`. Unix sockets never use TLS.",
    ),
    Key::process(
        "client_tls_key_file",
        "",
        File(|s| &mut s.client_tls.key_file),
        "Private key (PEM) of the certificate shown to clients. Read again on reload.",
    ),
    Key::process(
        "client_tls_cert_file",
        "",
        File(|s| &mut s.client_tls.cert_file),
        "Certificate chain (PEM) shown to clients. Read again on reload.",
    ),
    Key::process(
        "client_tls_ca_file",
        "",
        File(|s| &mut s.client_tls.ca_file),
        "Authorities (PEM) that clients' certificates must come from.",
    ),
    Key::process(
        "client_tls_protocols",
        "secure",
        Protocols(|s| &mut s.client_tls.versions),
        "TLS versions towards clients: `secure` is 1.2 and 1.3, `tlsv1.2` and `tlsv1.3` only that one. Older versions do not exist here.",
    ),
    Key::process(
        "client_channel_binding",
        "prefer",
        Binding(|s| &mut s.client_tls.binding),
        "Whether clients' logins by SCRAM are bound to the TLS session, so that nobody in between with a certificate of their own can pass them on. `prefer`: SCRAM-SHA-256-PLUS is offered over TLS beside SCRAM-SHA-256, and a client that can do it but was not shown the offer is refused. `require`: passwords are taken over TLS with SCRAM-SHA-256-PLUS only, unix sockets excepted. `disable`: not offered, for instance because something in front of pgweir ends the TLS of clients and begins another. A certificate signed with Ed25519 has no binding; SCRAM-SHA-256 alone is offered with it.",
    )
    .ours(),
    Key::process(
        "server_channel_binding",
        "prefer",
        Binding(|s| &mut s.server_tls.binding),
        "Whether pgweir's logins by SCRAM to servers are bound to the TLS session, as libpq's `channel_binding`. `prefer`: if the server offers SCRAM-SHA-256-PLUS. `require`: a server that lets pgweir in otherwise is refused, unix sockets excepted. `disable`: never.",
    )
    .ours(),
    Key::process(
        "server_tls_sslmode",
        "prefer",
        Ssl(|s| &mut s.server_tls.mode),
        "TLS towards servers, as libpq's `sslmode`. `prefer` uses TLS if the server can and protects from nobody who can change packets; `verify-full` also checks certificate and host name.",
    ),
    Key::process(
        "server_tls_ca_file",
        "",
        File(|s| &mut s.server_tls.ca_file),
        "Authorities (PEM) that servers' certificates must come from; needed by `verify-ca` and `verify-full`.",
    ),
    Key::process(
        "server_tls_cert_file",
        "",
        File(|s| &mut s.server_tls.cert_file),
        "Certificate (PEM) that pgweir shows to servers that ask for one.",
    ),
    Key::process(
        "server_tls_key_file",
        "",
        File(|s| &mut s.server_tls.key_file),
        "Private key (PEM) of `server_tls_cert_file`.",
    ),
    Key::process(
        "server_tls_protocols",
        "secure",
        Protocols(|s| &mut s.server_tls.versions),
        "TLS versions towards servers; see `client_tls_protocols`.",
    ),
    Key::process(
        "tcp_socket_buffer",
        "0",
        Size32(0, 1 << 30, |s| &mut s.tcp_socket_buffer),
        "Bytes that the kernel buffers for a TCP connection, client's or server's, in each direction. Holds for connections made after a change. 0: the system's default, which adapts itself.",
    ),
    Key::process(
        "tcp_keepalive",
        "1",
        Bool(|s| &mut s.tcp_keepalive),
        "Let the kernel find out when the other end of an idle connection, client or server, is gone.",
    ),
    Key::process(
        "tcp_keepcnt",
        "0",
        Count(0, 127, |s| &mut s.tcp_keepcnt),
        "Keepalive probes without an answer before a connection is given up. 0: the system's default.",
    ),
    Key::process(
        "tcp_keepidle",
        "0",
        Seconds(|s| &mut s.tcp_keepidle),
        "Idle time before the first keepalive probe. 0: the system's default.",
    ),
    Key::process(
        "tcp_keepintvl",
        "0",
        Seconds(|s| &mut s.tcp_keepintvl),
        "Time between keepalive probes. 0: the system's default.",
    ),
    Key::process(
        "tcp_user_timeout",
        "0",
        Millis(|s| &mut s.tcp_user_timeout),
        "Give a connection up when data that was sent is not acknowledged for this time. A plain number is milliseconds, as in PgBouncer. 0: the system's default.",
    ),
    Key::process(
        "dns_max_ttl",
        "15",
        Seconds(|s| &mut s.dns_max_ttl),
        "A server's host name is looked up again after this time; connections to addresses that are no longer in the answer are closed when they are free.",
    ),
];
