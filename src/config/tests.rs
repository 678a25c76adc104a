use super::*;
use crate::id::OrgId;
use crate::oidc::UserClaim;
use proptest::prelude::*;

const SAMPLE: &str = include_str!("../../config/bearward.toml");

fn env(name: &str) -> Option<String> {
    match name {
        "ORDERS_AUTHORIZATION" => Some("Basic c2VjcmV0".to_owned()),
        "AUDIT_KEY" => Some("0123456789abcdef0123456789abcdef".to_owned()),
        "SMTP_PASSWORD" => Some("hunter2".to_owned()),
        "BROKEN" => Some("two\nlines".to_owned()),
        "EMPTY" => Some(String::new()),
        _ => None,
    }
}

fn parse(text: &str) -> Result<Config, Errors> {
    Config::parse(text, Path::new("/etc/bearward"), &env)
}

/// A good configuration with more lines after it.
fn good_and(more: &str) -> String {
    format!(
        "gateway.listen = '127.0.0.1:8080'\nadmin.listen = '127.0.0.1:8081'\n\
         store.path = 'b.redb'\n{more}"
    )
}

/// The errors of a text, one a line.
fn errors_of(text: &str) -> Vec<String> {
    let errors = parse(text).expect_err(text);
    let place = |place: Option<Place>| place.map_or((0, 0), |place| (place.line, place.column));
    let line = |error: &Error| {
        let (line, column) = place(error.place);
        format!("{line}:{column}: {error}")
    };
    errors.all().iter().map(line).collect()
}

/// The one error that `more` makes.
fn error_of(more: &str) -> String {
    let errors = errors_of(&good_and(more));
    assert_eq!(errors.len(), 1, "{more}: {errors:#?}");
    errors[0].clone()
}

/// The sample with every key that is commented out put in.
fn uncommented() -> String {
    let line = |line: &str| match line.strip_prefix("# ") {
        Some(key) if key.split_once(" = ").is_some_and(|(key, _)| !key.contains(' ')) => {
            format!("{key}\n")
        }
        _ => format!("{line}\n"),
    };
    SAMPLE.lines().map(line).collect()
}

#[test]
fn the_sample_is_a_configuration() {
    let config = parse(SAMPLE).expect("the sample");
    assert_eq!(config.gateway.listen.port(), 8080);
    assert_eq!(config.store.path, Path::new("/etc/bearward/bearward.redb"));
    assert_eq!(config.routes.len(), 3);
    assert_eq!(config.routes[0].methods, [Method::GET, Method::HEAD]);
    assert_eq!(config.routes[2].access, Access::Public);
    let Access::Token { service, organizations, any_of, all_of } = &config.routes[0].access else {
        panic!("a token is needed");
    };
    assert_eq!(service.as_str(), "orders");
    assert_eq!(*organizations, Organizations::Any);
    assert_eq!(any_of.len(), 2);
    assert!(all_of.is_empty());
}

#[test]
fn the_defaults_are_those_that_the_sample_names() {
    let mut plain = parse(SAMPLE).expect("the sample");
    let every = parse(&uncommented()).expect("the sample with every key");
    // What these keys say in the sample is an example, not the default.
    assert_eq!(plain.gateway.access_log, None);
    plain.gateway.access_log = Some(AccessLog::Stdout);
    assert_eq!(plain.gateway.workers, std::thread::available_parallelism().map_or(1, usize::from));
    plain.gateway.workers = 2;
    assert_eq!((plain.audit.key.as_ref(), plain.audit.keep), (None, None));
    plain.audit.key.clone_from(&every.audit.key);
    plain.audit.keep = Some(Duration::from_hours(24 * 400));
    assert!(plain.organization_roles.is_empty());
    plain.organization_roles = vec!["auditor".parse().expect("a name")];
    assert!(plain.upstreams[0].credential.is_none());
    plain.upstreams[0].credential.clone_from(&every.upstreams[0].credential);
    assert!(plain.routes[0].hosts.is_empty());
    plain.routes[0].hosts = vec!["api.example.com".to_owned()];
    assert_eq!(format!("{plain:#?}"), format!("{every:#?}"));
    assert!(uncommented().contains("\nworkers = 2"));
}

#[test]
fn a_secret_is_read_and_never_shown() {
    let config = parse(&uncommented()).expect("the sample with every key");
    let credential = config.upstreams[0].credential.as_ref().expect("a credential");
    assert_eq!(credential, "Basic c2VjcmV0");
    let shown = format!("{config:?}");
    assert!(config.audit.key.is_some());
    assert!(!shown.contains("c2VjcmV0") && !shown.contains("0123456789abcdef"), "{shown}");

    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("key"), "Bearer from-a-file\n").expect("a file");
    let text = good_and("upstreams.a = { addresses = ['h:1'], credential = { file = 'key' } }");
    let config = Config::parse(&text, dir.path(), &env).expect("a configuration");
    let credential = config.upstreams[0].credential.as_ref().expect("a credential");
    assert_eq!(credential, "Bearer from-a-file");
}

#[test]
fn a_secret_that_cannot_be_had_is_named_and_not_shown() {
    let of = |secret: &str| {
        error_of(&format!("upstreams.a = {{ addresses = ['h:1'], credential = {secret} }}"))
    };
    let plain = of("'Bearer hunter2'");
    assert!(plain.contains("never written here"), "{plain}");
    assert!(plain.contains("{ env = \"NAME\" }"), "{plain}");
    assert!(!plain.contains("hunter2"), "{plain}");
    assert!(of("{ env = 'NOT_SET' }").contains("`NOT_SET` is not set"));
    assert!(of("{ env = 'EMPTY' }").contains("`EMPTY` is empty"));
    assert!(of("{ file = 'nowhere' }").contains("/etc/bearward/nowhere"));
    assert!(of("{ file = 'a', env = 'b' }").contains("either"));
    assert!(of("{}").contains("either"));
    let broken = of("{ env = 'BROKEN' }");
    assert!(broken.contains("`BROKEN`") && !broken.contains("lines"), "{broken}");
    // A syntax error quotes no line, since a secret may have been put there.
    let syntax = errors_of("[upstreams.a]\ncredential = \"hunter2\n").join("\n");
    assert!(!syntax.contains("hunter2"), "{syntax}");
}

#[test]
fn all_errors_come_at_once_in_order_with_their_places() {
    let text = r#"
[gateway]
listen = "127.0.0.1"
workres = 4
cache_entries_max = 1

[admin]
listen = "0.0.0.0:8081"

[store]
[limits]
head_timeout = "10"
drain_timeout = 30

[services.orders]
roles = ["reader", "Writer"]

[upstreams.orders]
addresses = ["127.0.0.1:8081", "orders", "http://orders:80"]

[[routes]]
name = "a"
path = "orders"
upstream = "ordres"

[[routes]]
name = "b"
path = "/b//c"
upstream = "orders"
require = { service = "order", organizations = "some", any_of = ["orders/raeder"] }

[rutes]
"#;
    let errors = errors_of(text);
    let expected = [
        "3:10: gateway.listen: `127.0.0.1` is not an address and port",
        "4:1: gateway.workres: is not a key that exists here; did you mean `workers`?",
        "5:21: gateway.cache_entries_max: 1 is out of range: 16 to 50000000",
        "8:10: admin.listen: 0.0.0.0:8081 can be reached from beyond this machine",
        "10:1: store: needs `path`",
        "12:16: limits.head_timeout: `10` is not a duration: expected \"250ms\"",
        "13:17: limits.drain_timeout: expected text in quotes, found a whole number",
        "16:20: services.orders.roles[1]: `Writer` is not a name: expected 1 to 64 characters",
        "19:14: upstreams.orders.addresses[0]: is the admin port",
        "19:32: upstreams.orders.addresses[1]: `orders` is not an address: expected host:port",
        "19:42: upstreams.orders.addresses[2]: `http://orders:80` is not an address",
        "21:1: routes[0]: a route needs `require`: { service",
        "23:8: routes[0].path: `orders` is not a path prefix: it begins with `/`",
        "24:12: routes[0].upstream: there is no [upstreams] entry `ordres`; did you mean `orders`?",
        "28:8: routes[1].path: `/b//c` is not a path prefix: it has no empty segment",
        "30:23: routes[1].require.service: there is no [services] entry `order`; did you mean",
        "30:48: routes[1].require.organizations: `some` is not an organization: expected",
        "30:66: routes[1].require.any_of[0]: there is no role `orders/raeder`; did you mean",
        "32:2: rutes: is not a key that exists here; did you mean `routes`?",
    ];
    for (error, expected) in errors.iter().zip(expected) {
        assert!(error.starts_with(expected), "\n  {error}\n  {expected}");
    }
    assert_eq!(errors.len(), expected.len(), "{errors:#?}");
}

#[test]
fn broken_syntax_is_told_with_its_place_and_the_rest_is_read() {
    let text = good_and("[limits]\nhead_timeout = \nconnections_max = 0\n[gateway\n");
    let errors = errors_of(&text);
    assert!(errors[0].starts_with("5:1"), "{errors:#?}");
    assert!(errors.iter().any(|error| error.contains("limits.connections_max")), "{errors:#?}");
    assert!(!errors.iter().any(|error| error.contains("needs")), "{errors:#?}");
}

#[test]
fn what_cannot_be_read_is_an_error_that_names_the_file() {
    let missing = Config::load(Path::new("/nowhere/b.toml"), &env).expect_err("no file");
    assert!(missing.to_string().starts_with("/nowhere/b.toml: cannot be read: "), "{missing}");

    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("b.toml");
    std::fs::write(&path, [0xff, 0xfe]).expect("a file");
    let binary = Config::load(&path, &env).expect_err("no text").to_string();
    assert!(binary.contains("UTF-8"), "{binary}");

    std::fs::write(&path, "gateway.listen = 1\n").expect("a file");
    let errors = Config::load(&path, &env).expect_err("not a configuration").to_string();
    assert!(errors.contains(&format!("{}:1:18: gateway.listen: ", path.display())), "{errors}");

    std::fs::write(&path, good_and("")).expect("a file");
    let config = Config::load(&path, &env).expect("a configuration");
    assert_eq!(config.store.path, dir.path().join("b.redb"));
}

#[test]
fn the_admin_port_stays_on_this_machine() {
    let with = |listen: &str| {
        let text =
            format!("gateway.listen='127.0.0.1:80'\nstore.path='b'\nadmin.listen='{listen}'");
        parse(&text)
    };
    for listen in ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
        assert!(with(listen).is_ok(), "{listen}");
    }
    for listen in ["0.0.0.0:1", "[::]:1", "10.0.0.1:1", "[::ffff:10.0.0.1]:1"] {
        let errors = with(listen).expect_err(listen).to_string();
        assert!(errors.contains("TLS") && errors.contains("127.0.0.1 or [::1]"), "{errors}");
    }
    assert!(with("127.0.0.1:80").expect_err("one port").to_string().contains("different"));
}

#[test]
fn an_upstream_is_never_a_port_of_our_own() {
    let own = |address: &str| error_of(&format!("upstreams.a.addresses = ['{address}']"));
    for address in [
        "127.0.0.1:8081",
        "localhost:8081",
        "LOCALHOST:8081",
        "admin.localhost:8081",
        "0.0.0.0:8081",
        "[::]:8081",
        "[::ffff:127.0.0.1]:8081",
        "127.0.0.2:8081",
        "[::1]:8081",
        "ip6-localhost:8081",
        "localhost.localdomain:8081",
    ] {
        assert!(own(address).contains("is the admin port"), "{address}");
    }
    assert!(own("127.0.0.1:8080").contains("circle"));
    let everywhere = |address: &str| {
        let text = good_and(&format!("upstreams.a.addresses = ['{address}']"));
        parse(&text.replacen("127.0.0.1:8080", "0.0.0.0:8080", 1)).expect_err(address).to_string()
    };
    for address in ["127.0.0.2:8080", "[::1]:8080", "ip6-localhost:8080", "0.0.0.0:8080"] {
        assert!(everywhere(address).contains("circle"), "{address}");
    }
    for numeric in ["127.1:8081", "2130706433:8081", "0x7f000001:8081", "127.0.0.01:8081"] {
        assert!(own(numeric).contains("four decimal numbers"), "{numeric}");
    }
    parse(&good_and("upstreams.a.addresses = ['127.0.0.1:9', '127.0.0.2:8080', 'h:8081']"))
        .expect("others");
}

#[test]
fn addresses_hosts_and_paths_are_held_to_their_form() {
    for address in ["", ":80", "h", "h:", "h:0", "h:65536", "h:+1", "::1:80", "[h]:80", "a b:80"] {
        let error = error_of(&format!("upstreams.a.addresses = ['{address}']"));
        assert!(error.contains("is not"), "{error}");
    }
    assert!(error_of("upstreams.a.addresses = []").contains("at least one"));
    assert!(error_of("upstreams.a.addresses = ['h:1', 'H:1']").contains("twice"));
    let config = parse(&good_and("upstreams.a.addresses = ['[::1]:9', 'Orders.Internal:80']"));
    let addresses = &config.expect("addresses").upstreams[0].addresses;
    assert_eq!(addresses[0], Address { host: "::1".to_owned(), port: 9 });
    assert_eq!(addresses[1], Address { host: "orders.internal".to_owned(), port: 80 });

    let route = |field: &str| {
        format!(
            "[upstreams.a]\naddresses = ['h:1']\n\
             [[routes]]\nname = 'r'\nupstream = 'a'\nrequire = 'public'\n{field}\n"
        )
    };
    for path in
        ["", "a", "//", "/a//b", "/./a", "/a/..", "/%2e", "/a?b", "/a#", "/a;b", "/a b", "/a/"]
    {
        let error = error_of(&route(&format!("path = '{path}'")));
        assert!(error.contains("routes[0].path"), "{error}");
    }
    for host in ["", "a:80", "*.a", "a.", "a..b", "http://a", "ä.de", "1.2", "::1", "[x]"] {
        let error = error_of(&route(&format!("path = '/'\nhosts = ['{host}']")));
        assert!(error.contains("routes[0].hosts[0]"), "{error}");
    }
    for methods in ["['get']", "['CONNECT']", "['A B']", "[]", "['GET', 'GET']", "'GET'"] {
        let error = error_of(&route(&format!("path = '/'\nmethods = {methods}")));
        assert!(error.contains("routes[0].methods"), "{error}");
    }
    let text = good_and(&route("path = '/'\nhosts = ['API.Example.com', '[::1]', '10.0.0.1']"));
    let hosts = &parse(&text).expect("hosts").routes[0].hosts;
    assert_eq!(hosts, &["api.example.com", "[::1]", "10.0.0.1"]);
}

#[test]
fn no_two_routes_are_for_the_same_requests() {
    let pair = |a: &str, b: &str| {
        let route = |name: &str, rest: &str| {
            format!("[[routes]]\nname='{name}'\nupstream='a'\nrequire='public'\n{rest}\n")
        };
        let text = format!("[upstreams.a]\naddresses=['h:1']\n{}{}", route("x", a), route("y", b));
        parse(&good_and(&text))
    };
    let clashes = [
        ("path='/a'", "path='/a'"),
        ("path='/a'\nmethods=['GET']", "path='/a'"),
        ("path='/a'\nmethods=['GET', 'PUT']", "path='/a'\nmethods=['PUT']"),
        ("path='/a'\nhosts=['h', 'i']", "path='/a'\nhosts=['I']"),
    ];
    for (a, b) in clashes {
        let errors = pair(a, b).expect_err(a).to_string();
        assert!(
            errors.contains("routes[1]: is for the same requests as the route `x`"),
            "{errors}"
        );
    }
    let peaceful = [
        ("path='/a'", "path='/a/b'"),
        ("path='/a'\nmethods=['GET']", "path='/a'\nmethods=['PUT']"),
        ("path='/a'\nhosts=['h']", "path='/a'\nhosts=['i']"),
        ("path='/a'\nhosts=['h']", "path='/a'"),
    ];
    for (a, b) in peaceful {
        pair(a, b).expect(a);
    }
    let text = "[upstreams.a]\naddresses=['h:1']\n\
        [[routes]]\nname='x'\npath='/x'\nupstream='a'\nrequire='public'\n\
        [[routes]]\nname='x'\npath='/y'\nupstream='a'\nrequire='public'\n";
    assert!(error_of(text).contains("another route is called `x`"));
}

#[test]
fn a_route_says_what_it_needs() {
    let with = |require: &str| {
        let text = good_and(&format!(
            "[services.s]\nroles = ['r']\n[upstreams.a]\naddresses = ['h:1']\n\
             [[routes]]\nname = 'r'\npath = '/'\nupstream = 'a'\n{require}\n"
        ));
        parse(&text).map(|mut config| config.routes.remove(0).access)
    };
    let (a, b) = (OrgId::from_bits(1), OrgId::from_bits(2));
    let these = |organizations: &str| match with(&format!(
        "require = {{ service = 's', organizations = {organizations} }}"
    )) {
        Ok(Access::Token { organizations: Organizations::These(these), .. }) => these,
        other => panic!("{other:?}"),
    };
    assert_eq!(these(&format!("'{a}'")), [a]);
    assert_eq!(these(&format!("['{b}', '{a}']")), [a, b], "sorted");

    for (require, says) in [
        ("", "a route needs `require`"),
        ("require = 'none'", "`none` is not a requirement"),
        ("require = true", "a route needs `require`"),
        ("require = {}", "needs `service`"),
        ("require = { service = 's' }", "needs `organizations`"),
        ("require = { service = 's', organizations = [] }", "no organization at all"),
        ("require = { service = 's', organizations = 'any', any_of = [] }", "no role at all"),
        ("require = { service = 's', organizations = 'any', any_of = ['s/x'] }", "no role `s/x`"),
        ("require = { service = 's', organizations = 'any', anyof = ['s/r'] }", "`any_of`?"),
    ] {
        let errors = with(require).expect_err(require).to_string();
        assert!(errors.contains(says), "{require}: {errors}");
    }
    with("require = { service = 's', organizations = 'any', all_of = ['s/r', 'org_admin'] }")
        .expect("a service role and an organization role");
}

#[test]
fn identity_headers_are_four_and_ours() {
    for (name, says) in [
        ("Authorization", "meaning of its own"),
        ("x_auth", "`_`"),
        ("x auth", "is not a header name"),
        ("X-Auth-Scope", "something else already"),
    ] {
        let error = error_of(&format!("identity.subject = '{name}'"));
        assert!(error.contains(says), "{error}");
    }
}

#[test]
fn roles_that_are_built_in_are_not_declared() {
    assert!(error_of("roles.organization = ['org_owner']").contains("there anyway"));
    assert!(error_of("roles.organization = ['a', 'a']").contains("twice"));
}

#[test]
fn durations_are_a_number_and_a_unit() {
    let of = |text: &str| resolve::value::duration(text);
    assert_eq!(of("250ms"), Ok(Duration::from_millis(250)));
    assert_eq!(of("10s"), Ok(Duration::from_secs(10)));
    assert_eq!(of("5m"), Ok(Duration::from_mins(5)));
    assert_eq!(of("24h"), Ok(Duration::from_hours(24)));
    assert_eq!(of("90d"), Ok(Duration::from_hours(24 * 90)));
    for text in ["", "s", "10", "-1s", "1.5s", "10 s", "1w", "99999999999999999999s", "10S"] {
        assert!(of(text).is_err(), "{text}");
    }
    assert!(of(&format!("{}h", u64::MAX)).is_err());
}

#[test]
fn an_audit_key_is_long_and_events_are_kept_for_a_day_at_least() {
    let error = error_of("audit.key = { env = 'EMPTY' }");
    assert!(error.contains("is empty"), "{error}");
    let error = error_of("audit.key = { env = 'ORDERS_AUTHORIZATION' }");
    assert!(error.contains("at least 32 characters") && !error.contains("c2Vj"), "{error}");
    assert!(error_of("audit.key = 'in the clear'").contains("never written here"));
    assert!(error_of("audit.keep = '23h'").contains("out of range"));
    let kept = parse(&good_and("audit.keep = '1d'")).expect("a day");
    assert_eq!(kept.audit.keep, Some(Duration::from_hours(24)));
}

#[test]
fn places_count_characters() {
    assert_eq!(Place::of("a = 'ü'\nb = 'ü' x", 17), Place { line: 2, column: 8 });
    assert_eq!(Place::of("", 5), Place { line: 1, column: 1 });
}

proptest! {
    #[test]
    fn no_text_panics(text in ".{0,200}") {
        let _ = parse(&text);
    }

    #[test]
    fn no_broken_sample_panics(at in 0..SAMPLE.len(), len in 0_usize..40, put in ".{0,8}") {
        let text = uncommented();
        let mut bytes = text.into_bytes();
        let end = (at + len).min(bytes.len());
        bytes.splice(at.min(end)..end, put.bytes());
        let text = String::from_utf8_lossy(&bytes);
        if let Err(errors) = parse(&text) {
            prop_assert!(!errors.all().is_empty());
            prop_assert!(!errors.to_string().contains("c2VjcmV0"));
        }
    }
}

#[test]
fn mail_goes_in_the_clear_to_this_machine_only() {
    let with = |server: &str, tls: &str| {
        let smtp = format!("[smtp]\nserver='{server}'\ntls='{tls}'\nfrom='a <a@b.example>'");
        parse(&good_and(&smtp))
    };
    for server in ["127.0.0.1:25", "127.1.2.3:25", "[::1]:25", "localhost:25"] {
        let smtp = with(server, "none").expect(server).smtp.expect("a server");
        assert_eq!(smtp.tls, SmtpTls::None);
    }
    for server in ["mail.example:25", "10.0.0.1:25", "localhost.example:25", "[::2]:25"] {
        let errors = with(server, "none").expect_err(server).to_string();
        assert!(errors.contains("in the clear"), "{errors}");
        let smtp = with(server, "starttls").expect(server).smtp.expect("a server");
        assert_eq!(smtp.tls, SmtpTls::StartTls(Authorities::System));
    }
    assert!(parse(&good_and("[smtp]")).expect("nothing is said").smtp.is_none());
    let tls = with("mail.example:25", "maybe").expect_err("no such thing").to_string();
    assert!(tls.contains("smtp.tls: expected"), "{tls}");
}

/// A certificate that vouches for itself.
const AUTHORITY: &str = "-----BEGIN CERTIFICATE-----
MIIBbzCCARWgAwIBAgIUS0sWvSMRAIcVemtP8toAmcjTzh8wCgYIKoZIzj0EAwIw
DDEKMAgGA1UEAwwBYTAgFw0yNjExMjQxMzA5MTJaGA8yMTI2MTAzMTEzMDkxMlow
DDEKMAgGA1UEAwwBYTBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABCErfZPooBEb
5TFnn2126Q7k+O3TQl5kQ9ctlLPlvCC3GefMJtTlEf8xsKf71nWvKzRokAsBqAUk
zkMlMKs/V6+jUzBRMB0GA1UdDgQWBBSBmWkiRZTLgi+WPFtGrIcy/wGFwjAfBgNV
HSMEGDAWgBSBmWkiRZTLgi+WPFtGrIcy/wGFwjAPBgNVHRMBAf8EBTADAQH/MAoG
CCqGSM49BAMCA0gAMEUCIQDLwPfCcKwmHZM2sSXWB3STLrkgLs4WHj3VIloJ8gXp
4AIgdVeGNYrtHM4xQsaofupzOy8Sd/ns9giBjP/1qpRQBV8=
-----END CERTIFICATE-----
";

#[test]
fn authorities_are_certificates_in_pem_form() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("ca.pem");
    let smtp = "smtp = { server = 'm.example:25', tls = 'tls', from = 'a@b.example', authorities";
    let keys = [
        ("smtp", format!("{smtp} = '{}' }}", file.display())),
        ("webhooks", format!("webhooks.authorities = '{}'", file.display())),
    ];
    for (section, line) in &keys {
        let key = format!("{section}.authorities: ");
        let put = |text: &str| std::fs::write(&file, text).expect("it is writable");
        put(&format!("{AUTHORITY}{AUTHORITY}"));
        let config = parse(&good_and(line)).expect("good");
        let also = Authorities::Also(format!("{AUTHORITY}{AUTHORITY}").into_bytes());
        match *section {
            "smtp" => assert_eq!(config.smtp.expect("a server").tls, SmtpTls::Tls(also)),
            _ => assert_eq!(config.webhooks.authorities, also),
        }
        // The second one is broken, and no key is a certificate.
        let (head, tail) = AUTHORITY.split_at("-----BEGIN CERTIFICATE-----\n".len());
        put(&format!("{AUTHORITY}{head}AAAA{}", &tail[4..]));
        let broken = error_of(line);
        assert!(broken.contains(&key) && broken.contains("a certificate (2.)"), "{broken}");
        for text in ["", "hunter2", PARTNERS_KEY] {
            put(text);
            let told = error_of(line);
            assert!(told.contains(&key) && told.contains("ca.pem holds no certificate"), "{told}");
            assert!(!told.contains("hunter2"), "{told}");
        }
        std::fs::remove_file(&file).expect("it is there");
        assert!(error_of(line).contains("ca.pem"), "{}", error_of(line));
    }
    assert_eq!(parse(&good_and("")).expect("good").webhooks.authorities, Authorities::System);
}

#[test]
fn a_mail_servers_password_is_never_shown() {
    let smtp = |login: &str| {
        good_and(&format!("[smtp]\nserver='m.example:25'\ntls='tls'\nfrom='a@b.example'\n{login}"))
    };
    let config = parse(&smtp("user='u'\npassword={env='SMTP_PASSWORD'}")).expect("good");
    let login = config.smtp.clone().expect("a server").login.expect("a login");
    assert_eq!((login.user.as_str(), login.password.as_str()), ("u", "hunter2"));
    assert!(!format!("{config:?}").contains("hunter2"));
    for login in ["user='u'", "password={env='SMTP_PASSWORD'}"] {
        let errors = errors_of(&smtp(login));
        assert!(errors[0].contains("beside it"), "{errors:?}");
    }
    let errors = errors_of(&smtp("user='u'\npassword='hunter2'")).join("\n");
    assert!(errors.contains("never written here") && !errors.contains("hunter2"), "{errors}");
}

#[test]
fn templates_are_read_and_held_to_their_form() {
    let directory = tempfile::tempdir().expect("a directory");
    let put = |name: &str, text: &str| {
        std::fs::write(directory.path().join(name), text).expect("it is writable");
    };
    let with = || good_and(&format!("notices.templates = '{}'", directory.path().display()));
    put("token.revoked.txt", "Subject: Gone\n\n{{name}} is gone\n");
    put(".swp", "{{");
    let config = parse(&with()).expect("good");
    assert_ne!(config.notices.templates, Templates::default());
    put("token.lost.txt", "Subject: x\n\n");
    put("default.html", "{{secret}}");
    let errors = errors_of(&with());
    assert_eq!(errors.len(), 2, "{errors:#?}");
    assert!(errors[0].contains("default.html line 1: `{{secret}}` is no value"), "{errors:?}");
    assert!(errors[1].contains("token.lost.txt is the name of no template"), "{errors:?}");
    let missing = error_of("notices.templates = '/nowhere/at/all'");
    assert!(missing.contains("notices.templates: cannot read /nowhere/at/all"), "{missing}");
}

#[test]
fn the_longest_pause_is_no_shorter_than_the_first() {
    let error = error_of("notices = { retry_first = '1m', retry_longest = '30s' }");
    assert!(error.contains("notices.retry_longest: is shorter"), "{error}");
    let config = parse(&good_and("notices.retry_first = '2h'")).expect("good");
    assert_eq!(config.notices.retry.longest, Duration::from_hours(2));
}

/// A public key of the curve P-256, and one of P-384.
const PARTNERS_KEY: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEAFG4A5ILddWg29CrwqL0KhL/4cmo
ps1jRg6rAFhkLllaIj+IMsrnh2HGpr/c9F9iIw+TV2tf6eMAoNeVJm5LTw==
-----END PUBLIC KEY-----
";
const OTHER_CURVE: &str = "-----BEGIN PUBLIC KEY-----
MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAERf0kclHoPrEZn9eABt1VJJ8XeHo8+1ta
0hk8lG9R0BjZ4X1/04guQxDTZJbYmg2XuKxsD1H9VvfqJFbdZrt6xMyicF0o9zH5
1istroT+Z2Nfq8C1i5dgBmrVc2geNAJe
-----END PUBLIC KEY-----
";

#[test]
fn who_signs_reports_is_known_by_a_key_of_the_curve() {
    let item = |id: &str, key: &str| format!("{{ id = '{id}', key = \"\"\"\n{key}\"\"\" }}");
    let keys = |items: &[String]| format!("[leaks]\nkeys = [{}]\n", items.join(", "));
    let two = keys(&[item("one", PARTNERS_KEY), item("two", PARTNERS_KEY)]);
    let config = parse(&good_and(&two)).expect("good");
    assert_eq!(format!("{:?}", config.leaks), r#"["one", "two"]"#);
    assert_eq!(parse(&good_and("")).expect("good").leaks, Keys::default());
    let same = keys(&[item("one", PARTNERS_KEY), item("one", PARTNERS_KEY)]);
    assert!(error_of(&same).contains("leaks.keys[1]: its `id` stands in this list twice"));
    for key in [OTHER_CURVE, "hunter2\n", &PARTNERS_KEY.replace("PUBLIC", "PRIVATE")] {
        let told = error_of(&keys(&[item("one", key)]));
        assert!(told.contains("leaks.keys[0].key: is no public key of the curve P-256"), "{told}");
        assert!(!told.contains("hunter2"), "{told}");
    }
    let nameless = error_of(&keys(&[item("", PARTNERS_KEY)]));
    assert!(nameless.contains("leaks.keys[0].id: expected 1 to 128"), "{nameless}");
    let many: Vec<String> = (0..17).map(|n| item(&n.to_string(), PARTNERS_KEY)).collect();
    assert!(error_of(&keys(&many)).contains("leaks.keys: holds more than 16 keys"));
}

const ORG: &str = "org_01jgfjjy2g3q8n5r7s9t1v3w5x";

/// A good `[oidc]` with more lines after it.
fn oidc_and(more: &str) -> String {
    good_and(&format!(
        "services.orders.roles = ['reader']\n[oidc]\nissuer = 'https://login.example.com/realm'\n\
         client_id = 'bearward'\npublic_url = 'http://localhost:8081'\n\
         organization = '{ORG}'\n{more}"
    ))
}

#[test]
fn a_provider_vouches_where_the_configuration_says_so() {
    assert_eq!(parse(&good_and("[oidc]")).expect("good").oidc, None);
    let oidc = parse(&oidc_and("")).expect("good").oidc.expect("a provider");
    assert_eq!(oidc.name, "login.example.com");
    assert_eq!(oidc.scopes, "openid email profile");
    assert_eq!(oidc.user_claim, UserClaim::ExternalId("sub".to_owned()));
    assert_eq!((oidc.create_users, oidc.sync_roles, &oidc.roles), (false, false, &None));
    assert!(oidc.client_secret.is_none());
    let more = "user_claim = 'email'\nscopes = ['openid', 'groups']\nname = 'Login'\n\
                create_users = true\nroles_claim = 'groups'\n\
                roles = { owners = ['org_owner'], \"a b\" = ['org_member', 'orders/reader'] }";
    let oidc = parse(&oidc_and(more)).expect("good").oidc.expect("a provider");
    assert_eq!((oidc.scopes.as_str(), oidc.user_claim), ("openid groups", UserClaim::Email));
    let roles = oidc.roles.expect("roles");
    let names: Vec<_> =
        roles.of.iter().map(|(value, roles)| (value.as_str(), roles.len())).collect();
    assert_eq!(names, [("owners", 1), ("a b", 2)]);
    // The sample's own lines.
    let section = SAMPLE.split("[oidc]").nth(1).and_then(|rest| rest.split("\n\n").next());
    let section = section.expect("a section").replace("\n#   ", "\n");
    let section: String = section
        .lines()
        .filter(|line| !line.starts_with("client_secret") && !line.starts_with("authorities"))
        .fold(String::new(), |text, line| format!("{text}{line}\n"));
    let text = good_and(&format!(
        "admin.hosts = ['bearward.example.com']\nservices.orders.roles = ['reader']\n[oidc]{section}"
    ));
    // What gives roles has no meaning while both switches are off, as they are by themselves.
    assert!(errors_of(&text)[0].contains("has no meaning"), "{:?}", errors_of(&text));
    let text = text.replace("create_users = false", "create_users = true");
    let oidc = parse(&text).expect("good").oidc.expect("a provider");
    assert_eq!(oidc.roles.map(|roles| roles.of.len()), Some(2));
}

#[test]
fn every_error_of_a_provider_is_told_with_its_key() {
    let with = |key: &str, value: &str| {
        let text = oidc_and("");
        let was = text.lines().find(|line| line.starts_with(&format!("{key} = ")));
        let text = match was {
            Some(was) => text.replace(was, &format!("{key} = {value}")),
            None => format!("{text}\n{key} = {value}"),
        };
        let errors = errors_of(&text);
        assert_eq!(errors.len(), 1, "{key} = {value}: {errors:#?}");
        errors[0].clone()
    };
    for (key, value, says) in [
        ("issuer", "'http://login.example.com'", "in the clear"),
        ("issuer", "'login.example.com'", "is not an address"),
        ("issuer", "'https://login.example.com/?a=b'", "no query"),
        ("public_url", "'http://bearward.example.com'", "in the clear"),
        ("public_url", "'https://bearward.example.com'", "admin.hosts"),
        ("public_url", "'http://localhost:8081/'", "more than an origin"),
        ("public_url", "'http://localhost:80'", "leave it away"),
        ("organization", "'Acme'", "is not an organization"),
        ("client_id", "''", "1 to 256"),
        ("client_secret", "'in the clear'", "is a secret"),
        ("client_secret", "{ env = 'NOT_THERE' }", "is not set"),
        ("scopes", "['email']", "openid"),
        ("scopes", "['openid', 'a b']", "is not a scope"),
        ("user_claim", "''", "1 to 256"),
        ("create_users", "true", "roles_claim"),
        ("roles_claim", "'groups'", "needs `roles`"),
        ("roles", "{ a = ['org_owner'] }", "needs `roles_claim`"),
        ("timeout", "'1h'", "out of range"),
        ("authorities", "'/nowhere.pem'", "cannot read"),
        ("client", "'x'", "is not a key that exists here"),
    ] {
        let error = with(key, value);
        assert!(error.contains(says) && error.contains("oidc"), "{key} = {value}: {error}");
    }
    let roles = |map: &str| {
        let errors = errors_of(&oidc_and(&format!(
            "sync_roles = true\nroles_claim = 'groups'\nroles = {map}"
        )));
        assert_eq!(errors.len(), 1, "{map}: {errors:#?}");
        errors[0].clone()
    };
    for (map, says) in [
        ("{ a = [] }", "stands for no role"),
        ("{ a = ['org_boss'] }", "is no organization role"),
        ("{ a = ['orders/boss'] }", "is no role of a service"),
        ("{ a = 'org_owner' }", "expected a list"),
    ] {
        assert!(roles(map).contains(says), "{map}: {}", roles(map));
    }
    assert!(errors_of(&good_and("[oidc]\nissuer = 'https://x.example'")).len() >= 3, "all at once");
}
