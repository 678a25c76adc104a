use super::*;
use crate::access::Organizations;
use crate::id::OrgId;
use crate::usage::Asked;
use std::path::Path;

const HEAD: &str = r#"
gateway.listen = "127.0.0.1:8080"
gateway.realm = "test realm"
admin.listen = "127.0.0.1:8081"
store.path = "b.redb"
[services.orders]
roles = ["reader", "writer", "auditor"]
[upstreams.one]
addresses = ["127.0.0.1:9000"]
[upstreams.two]
addresses = ["127.0.0.1:9001"]
"#;

fn config(routes: &str) -> Config {
    let text = format!("{HEAD}{routes}");
    Config::parse(&text, Path::new("/"), &|_| None).unwrap_or_else(|error| panic!("{error}"))
}

fn roles() -> RoleTable {
    let mut roles = RoleTable::new();
    for name in ["orders/reader", "orders/writer", "orders/auditor"] {
        roles.intern(name.parse().expect("a role"));
    }
    roles
}

fn compiled(routes: &str) -> Routes {
    Routes::compile(&config(routes), &roles(), &Asked::default())
        .expect("every role has its number")
}

/// A public route with these further lines.
fn route(name: &str, path: &str, more: &str) -> String {
    format!(
        "[[routes]]\nname = \"{name}\"\npath = \"{path}\"\nupstream = \"one\"\n\
         require = \"public\"\n{more}\n"
    )
}

impl Routes {
    /// The name of the route that a request finds, or why it finds none.
    fn named(&self, host: &str, path: &str, method: &Method) -> &str {
        match self.find(host, path, method) {
            Ok(at) => &self.route(at).name,
            Err(NoRoute::NotFound) => "not found",
            Err(NoRoute::Ambiguous) => "ambiguous",
        }
    }

    fn get(&self, path: &str) -> &str {
        self.named("a.test", path, &Method::GET)
    }
}

#[test]
fn the_longest_prefix_wins_and_ends_at_a_slash() {
    let routes = compiled(&[route("api", "/api", ""), route("deep", "/api/deep", "")].concat());
    for (path, expected) in [
        ("/api", "api"),
        ("/api/", "api"),
        ("/api/x", "api"),
        ("/api/deep", "deep"),
        ("/api/deep/x", "deep"),
        ("/api/deeper", "api"),
        ("/apiX", "not found"),
        ("/apiX/deep", "not found"),
        ("/ap", "not found"),
        ("/API", "not found"),
        ("/", "not found"),
    ] {
        assert_eq!(routes.get(path), expected, "{path}");
    }
    let routes = compiled(&[route("all", "/", ""), route("api", "/api", "")].concat());
    for (path, expected) in [("/", "all"), ("/apiX", "all"), ("/api/x", "api"), ("/x/api", "all")] {
        assert_eq!(routes.get(path), expected, "{path}");
    }
}

#[test]
fn a_host_has_its_own_routes_and_those_of_any_host() {
    let routes = compiled(
        &[
            route("any", "/any", ""),
            route("a", "/own", "hosts = [\"a.test\", \"b.test\"]"),
            route("c", "/own/c", "hosts = [\"c.test\"]"),
        ]
        .concat(),
    );
    for (host, path, expected) in [
        ("a.test", "/own", "a"),
        ("b.test", "/own/c", "a"),
        ("c.test", "/own/c", "c"),
        ("c.test", "/own", "not found"),
        ("d.test", "/own", "not found"),
        ("a.test", "/any", "any"),
        ("c.test", "/any", "any"),
        ("d.test", "/any", "any"),
    ] {
        assert_eq!(routes.named(host, path, &Method::GET), expected, "{host}{path}");
    }
}

#[test]
fn of_one_path_the_route_that_names_the_host_goes_before_the_one_for_any() {
    let (any, own) = (route("any", "/", ""), route("own", "/", "hosts = [\"a.test\"]"));
    for routes in [[any.clone(), own.clone()].concat(), [own, any].concat()] {
        let routes = compiled(&routes);
        assert_eq!(routes.named("a.test", "/x", &Method::GET), "own");
        assert_eq!(routes.named("b.test", "/x", &Method::GET), "any");
    }
}

#[test]
fn among_equals_the_first_that_takes_the_method_answers_else_the_first() {
    let routes = compiled(
        &[
            route("read", "/x", "methods = [\"GET\", \"HEAD\"]"),
            route("write", "/x", "methods = [\"POST\"]"),
            route("all", "/", ""),
        ]
        .concat(),
    );
    assert_eq!(routes.named("a.test", "/x", &Method::GET), "read");
    assert_eq!(routes.named("a.test", "/x", &Method::HEAD), "read");
    assert_eq!(routes.named("a.test", "/x", &Method::POST), "write");
    // Not the shorter one: that the path is there and the method is not is the answer.
    assert_eq!(routes.named("a.test", "/x", &Method::DELETE), "read");
    let at = routes.find("a.test", "/x", &Method::DELETE).expect("a route");
    assert_eq!(routes.route(at).allow, "GET, HEAD, POST", "what its neighbour takes, too");
    assert!(!routes.route(at).requirement.methods.contains(&Method::DELETE));
}

#[test]
fn a_path_that_decodes_to_another_route_is_ambiguous() {
    let routes = compiled(&[route("all", "/", ""), route("admin", "/admin", "")].concat());
    for (path, expected) in [
        ("/%61dmin", "ambiguous"),
        ("/%61dmin/x", "ambiguous"),
        ("/a%64min", "ambiguous"),
        ("/admin/%61", "admin"),
        ("/admi%6e", "ambiguous"),
        ("/%62dmin", "all"),
        ("/%2561dmin", "all"),
    ] {
        assert_eq!(routes.get(path), expected, "{path}");
    }
}

#[test]
fn ambiguous_paths_are_for_lenient_routes_only() {
    let routes = compiled(
        &[route("strict", "/strict", ""), route("lenient", "/lenient", "lenient_path = true")]
            .concat(),
    );
    for rest in ["/a%2Fb", "/a%5cb", "//b", "/a;v=1"] {
        assert_eq!(routes.get(&format!("/strict{rest}")), "ambiguous", "{rest}");
        assert_eq!(routes.get(&format!("/lenient{rest}")), "lenient", "{rest}");
        assert_eq!(routes.get(&format!("/nowhere{rest}")), "ambiguous", "{rest}");
    }
    for rest in ["/..", "/%2e%2e/x", "/a%2f..%2fb", "/a%00b"] {
        assert_eq!(routes.get(&format!("/lenient{rest}")), "ambiguous", "{rest}");
    }
}

#[test]
fn a_stripped_prefix_leaves_its_slash() {
    let routes = compiled(
        &[
            route("kept", "/kept", ""),
            route("plain", "/plain", "strip_prefix = true"),
            route("root", "/", "strip_prefix = true"),
        ]
        .concat(),
    );
    for (path, bytes) in [("/kept/x", 0), ("/plain/x", 6), ("/x", 0)] {
        let at = routes.find("a.test", path, &Method::GET).expect("a route");
        assert_eq!(routes.route(at).strip_bytes, bytes, "{path}");
        assert!(path[bytes..].starts_with('/'));
    }
}

fn demanding(require: &str) -> String {
    format!(
        "[[routes]]\nname = \"r\"\npath = \"/\"\nupstream = \"two\"\nforward_bearer = true\n\
         require = {{ service = \"orders\", {require} }}\n"
    )
}

#[test]
fn the_challenge_of_a_403_names_what_is_needed() {
    let routes = compiled(&demanding(
        "organizations = \"any\", any_of = [\"orders/reader\", \"orders/writer\"], \
         all_of = [\"orders/auditor\"]",
    ));
    let route = routes.route(0);
    // RFC 6750 section 3: quoted values, the scopes separated by single spaces.
    assert_eq!(
        route.insufficient_scope,
        "Bearer realm=\"test realm\", error=\"insufficient_scope\", \
         error_description=\"The token does not carry what this resource needs\", \
         scope=\"orders/auditor orders/reader orders/writer\""
    );
    assert_eq!((route.upstream, route.forward_bearer), (1, true));
    let demand = route.requirement.demand.as_ref().expect("not public");
    let numbers = |names: &[&str]| -> RoleSet {
        let roles = roles();
        names.iter().map(|name| roles.id(&name.parse().expect("a role")).expect("known")).collect()
    };
    assert_eq!(demand.any_of, numbers(&["orders/reader", "orders/writer"]));
    assert_eq!(demand.all_of, numbers(&["orders/auditor"]));
    assert_eq!(demand.organizations, Organizations::Any);
}

#[test]
fn organizations_are_those_that_are_named() {
    let org = OrgId::from_bits(5);
    let routes =
        compiled(&demanding(&format!("organizations = [\"{org}\"], any_of = [\"orders/reader\"]")));
    let demand = routes.route(0).requirement.demand.as_ref().expect("not public");
    assert_eq!(demand.organizations, Organizations::These(vec![org]));
}

#[test]
fn a_role_without_a_number_is_an_error_that_names_it() {
    let config = config(&demanding("organizations = \"any\", any_of = [\"orders/reader\"]"));
    let error = Routes::compile(&config, &RoleTable::new(), &Asked::default())
        .expect_err("nothing is interned");
    assert_eq!(
        error.to_string(),
        "route `r` asks for the role `orders/reader`, which the store does not know"
    );
}
