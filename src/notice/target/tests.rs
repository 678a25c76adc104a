use super::*;

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

#[test]
fn a8_only_public_addresses_are_called() {
    for address in [
        "0.0.0.0",
        "0.1.2.3",
        "10.0.0.1",
        "100.64.0.1",
        "100.100.100.200",
        "100.127.255.255",
        "127.0.0.1",
        "127.255.255.254",
        "169.254.0.1",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.192",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.0.1",
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.1",
        "203.0.113.9",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::7f00:1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::1",
        "100::1",
        "2001::1",
        "2001:db8::1",
        "2002:7f00:1::",
        "2002:a00:1::1",
        "3fff::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fec0::1",
        "ff02::1",
        "4000::1",
    ] {
        assert!(!may_call(ip(address), &[]), "{address}");
    }
    for address in [
        "1.1.1.1",
        "100.63.255.255",
        "100.128.0.1",
        "11.0.0.1",
        "126.1.1.1",
        "128.0.0.1",
        "169.253.1.1",
        "172.15.0.1",
        "172.32.0.1",
        "192.0.1.1",
        "192.167.1.1",
        "198.17.1.1",
        "198.20.1.1",
        "223.255.255.255",
        "::ffff:1.1.1.1",
        "64:ff9b::101:101",
        "2002:101:101::1",
        "2001:4860:4860::8888",
        "2606:4700::1111",
        "2a00::1",
        "3ffe::1",
    ] {
        assert!(may_call(ip(address), &[]), "{address}");
    }
}

#[test]
fn a_network_that_is_allowed_is_called_and_no_other() {
    let allowed = ["10.1.0.0/16".parse().unwrap(), "fd00::/8".parse().unwrap()];
    for (address, may) in [
        ("10.1.2.3", true),
        ("::ffff:10.1.2.3", true),
        ("10.2.0.1", false),
        ("127.0.0.1", false),
        ("fd12::1", true),
        ("fc12::1", false),
        ("1.1.1.1", true),
    ] {
        assert_eq!(may_call(ip(address), &allowed), may, "{address}");
    }
}

#[test]
fn an_address_has_the_parts_that_it_shows() {
    let parts = |url: &str| {
        let target = Target::parse(url).expect(url);
        (target.is_secure, target.host, target.port, target.authority, target.path)
    };
    let of = |secure, host: &str, port, authority: &str, path: &str| {
        (secure, host.to_owned(), port, authority.to_owned(), path.to_owned())
    };
    assert_eq!(parts("https://Example.org"), of(true, "example.org", 443, "Example.org", "/"));
    assert_eq!(parts("http://h/a?b=c"), of(false, "h", 80, "h", "/a?b=c"));
    assert_eq!(parts("http://h:8080/"), of(false, "h", 8080, "h:8080", "/"));
    assert_eq!(parts("http://[::1]:81/x"), of(false, "::1", 81, "[::1]:81", "/x"));
    assert_eq!(parts("https://[2001:db8::1]/"), of(true, "2001:db8::1", 443, "[2001:db8::1]", "/"));
    assert_eq!(Target::parse("http://[::1]/").unwrap().literal(), Some(ip("::1")));
    assert_eq!(Target::parse("http://localhost/").unwrap().literal(), None);
}

#[test]
fn what_could_be_read_in_two_ways_is_no_address() {
    for url in [
        "",
        "h",
        "/x",
        "ftp://h/",
        "https:/h",
        "https:///x",
        "javascript:alert(1)",
        "https://h:0/",
        "https://h:x/",
        "https://h:99999/",
        "https://h:/",
        "https://a b/",
        "https://h/\u{fc}",
        "https://h/a\nb",
        "gopher://h:25/",
        "file:///etc/passwd",
    ] {
        assert_eq!(Target::parse(url), Err(NotATarget::Form), "{url}");
    }
    assert_eq!(Target::parse("https://u:p@h/"), Err(NotATarget::UserInfo));
    assert_eq!(Target::parse("https://h@127.0.0.1/"), Err(NotATarget::UserInfo));
    assert_eq!(Target::parse("https://h/#x"), Err(NotATarget::Fragment));
    let long = format!("https://h/{}", "x".repeat(URL_BYTES_MAX));
    assert_eq!(Target::parse(&long), Err(NotATarget::Form));
}
