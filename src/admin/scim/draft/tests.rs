use super::*;

fn draft() -> Draft {
    Draft {
        email: "ada@example.com".into(),
        name: "Ada".into(),
        external_id: Some("e".into()),
        active: true,
        roles: BTreeSet::from(["org_member".into(), "orders/reader".into()]),
    }
}

fn patched(operations: &Value) -> Result<Draft, Option<&'static str>> {
    let mut draft = draft();
    let body = json!({"schemas": [PATCH_SCHEMA], "Operations": operations});
    draft.patch(&body).map_err(|problem| problem.scim_type())?;
    Ok(draft)
}

#[test]
fn operations_as_identity_providers_write_them() {
    let set = |operation: Value| patched(&json!([operation])).expect("acceptable");
    for (operation, expected) in [
        (
            json!({"op": "Replace", "path": "active", "value": "False"}),
            Draft { active: false, ..draft() },
        ),
        (json!({"op": "replace", "value": {"active": false}}), Draft { active: false, ..draft() }),
        (
            json!({"op": "Add", "path": "emails[type eq \"work\"].value", "value": "b@x"}),
            Draft { email: "b@x".into(), ..draft() },
        ),
        (
            json!({"op": "replace", "value": {"emails": [{"value": "b@x", "primary": true}]}}),
            Draft { email: "b@x".into(), ..draft() },
        ),
        (
            json!({"op": "replace", "value": {"name.formatted": "B"}}),
            Draft { name: "B".into(), ..draft() },
        ),
        (json!({"op": "remove", "path": "externalId"}), Draft { external_id: None, ..draft() }),
        (
            json!({"op": "remove", "path": "roles[value eq \"orders/reader\"]"}),
            Draft { roles: BTreeSet::from(["org_member".into()]), ..draft() },
        ),
        (
            json!({"op": "replace", "path": "roles", "value": [{"value": "org_admin"}]}),
            Draft { roles: BTreeSet::from(["org_admin".into()]), ..draft() },
        ),
        (json!({"op": "add", "path": "title", "value": "Countess"}), draft()),
    ] {
        assert_eq!(set(operation.clone()), expected, "{operation}");
    }
}

#[test]
fn what_cannot_be_done_is_told_by_its_type() {
    for (operation, expected) in [
        (json!({"op": "move", "path": "active"}), "invalidSyntax"),
        (json!({"op": "remove"}), "noTarget"),
        (json!({"op": "remove", "path": "userName"}), "mutability"),
        (json!({"op": "replace", "path": "id", "value": "x"}), "mutability"),
        (json!({"op": "replace", "path": "colour", "value": "x"}), "invalidPath"),
        (json!({"op": "replace", "path": "active", "value": "maybe"}), "invalidValue"),
        (
            json!({"op": "add", "path": "emails[type eq \"home\"].value", "value": "b@x"}),
            "noTarget",
        ),
        (json!({"op": "replace", "path": "userName", "value": 5}), "invalidValue"),
    ] {
        assert_eq!(patched(&json!([operation])), Err(Some(expected)), "{operation}");
    }
    assert_eq!(patched(&json!([])), Err(Some("invalidSyntax")));
    let many = vec![json!({"op": "remove", "path": "externalId"}); OPERATIONS_MAX + 1];
    assert!(patched(&json!(many[1..])).is_ok());
    assert_eq!(patched(&json!(many)), Err(Some("invalidSyntax")));
}
