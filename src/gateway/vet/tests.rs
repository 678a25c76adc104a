use super::*;
use proptest::prelude::*;

#[test]
fn plain_paths_are_plain() {
    for path in
        ["/", "/a", "/a/b/", "/a.b/..c/...", "/caf%C3%A9", "/%F0%9F%90%BB", "/a%20b", "/a:b@c"]
    {
        assert_eq!(path_traits(path), Ok(PathTraits::default()), "{path}");
    }
}

#[test]
fn what_can_be_read_in_two_ways_is_told() {
    for path in ["//", "/a//b", "/a%2Fb", "/a%2fb", "/a%5cb", "/a\\b", "/admin;x", "/a;b=c/d"] {
        assert!(path_traits(path).expect("a route may allow it").ambiguous, "{path}");
    }
    for path in ["/%61dmin", "/a%2Db", "/a%7Eb", "/a.%2Ejs"] {
        let traits = path_traits(path).expect("a path");
        assert!(traits.decodable && !traits.ambiguous, "{path}");
    }
    assert_eq!(decode_unreserved("/%61dmin/%2e%2f%C3%A9%zz%4"), "/admin/.%2f%C3%A9%zz%4");
}

#[test]
fn some_paths_are_refused_on_every_route() {
    for path in [
        "/..",
        "/.",
        "/a/../b",
        "/a/./b",
        "/a/..",
        "/%2e%2e/b",
        "/a/%2E./b",
        "/a/.%2e",
        "/.;/a",
        "/..;x/a",
        "/a%2f..%2fb",
        "/a%5c..",
        "/a\\..\\b",
        "/a%00b",
        "/a%0ab",
        "/a%7f",
        "/a%",
        "/a%2",
        "/a%zz",
        "/a#b",
        "/a%c0%ae",
        "/a%c1%9c",
        "/a%ff",
    ] {
        assert_eq!(path_traits(path), Err(Objection::Path), "{path}");
    }
}

#[test]
fn escapes_are_never_decoded_twice() {
    // `%252f` is the three characters `%2f`, and goes upstream as it is.
    assert_eq!(path_traits("/a%252fb"), Ok(PathTraits::default()));
    assert_eq!(decode_unreserved("/a%252fb"), "/a%252fb");
    assert_eq!(path_traits("/%252e%252e/b"), Ok(PathTraits::default()));
}

#[test]
fn an_ambiguous_path_is_read_as_servers_may_read_it() {
    for path in ["/admin%2Fx", "//admin/x", "/admin;v=1/x", "/%61dmin%5Cx", "/admin\\x"] {
        assert_eq!(readings(path)[1], "/admin/x", "{path}");
    }
    assert_eq!(readings("//")[1], "/");
}

#[test]
fn hosts_have_one_canonical_form() {
    for (field, host) in [
        ("api.example.com", "api.example.com"),
        ("API.Example.COM:8443", "api.example.com"),
        ("api.example.com.", "api.example.com"),
        ("api.example.com.:80", "api.example.com"),
        ("127.0.0.1:80", "127.0.0.1"),
        ("[::1]:80", "[::1]"),
        ("[::1]", "[::1]"),
    ] {
        assert_eq!(canonical_host(field.as_bytes()).as_deref(), Ok(host), "{field}");
    }
    for field in [
        "", ":80", "a,b", "a b", "a/b", "a@b", "a:b", "a:123456", "[::1", "[x]:1", "[::1]x",
        "a:1:2",
    ] {
        assert_eq!(canonical_host(field.as_bytes()), Err(Objection::Host), "{field}");
    }
}

proptest! {
    /// Once vetted, decoding a plain path in any usual way yields no dot segment.
    #[test]
    fn a_vetted_path_hides_no_dot_segment(
        parts in proptest::collection::vec(
            prop_oneof![
                Just("/"), Just("."), Just("%2e"), Just("%2E"), Just("a"), Just("%61"),
                Just("%2f"), Just("%5C"), Just("\\"), Just(";"), Just("%25"), Just("2e"),
            ],
            0..12,
        ),
    ) {
        let path = format!("/{}", parts.concat());
        if path_traits(&path).is_ok() {
            let decoded = decode_unreserved(&path)
                .replace("%2f", "/")
                .replace("%5C", "/")
                .replace('\\', "/");
            let segments = decoded.split('/').map(|segment| segment.split(';').next());
            for segment in segments {
                prop_assert!(!matches!(segment, Some("." | "..")), "{path} -> {decoded}");
            }
        }
    }
}
