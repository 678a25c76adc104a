use super::*;
use crate::governance::tests::{World, at, roles};
use crate::secret::Secret;
use proptest::prelude::*;

const PREFIX: &str = "bwt_";

fn order(world: &World, makes_owners: bool) -> Order<'_> {
    Order {
        org: &world.org,
        roles: &world.table,
        prefix: PREFIX,
        makes_owners,
        now: world.now,
        first_token: TokenId::from_bits(1 << 90),
        first_owner: UserId::from_bits(1 << 91),
    }
}

fn intake(world: &World, makes_owners: bool) -> Intake<'_> {
    let users = vec![world.owner.clone(), world.admin.clone(), world.member.clone()];
    Intake::new(order(world, makes_owners), users)
}

/// A line that is good: the member's, with one role.
fn good() -> Line<'static> {
    Line::default()
        .with(Column::Name, "ci")
        .with(Column::Owner, "User3@Example.com")
        .with(Column::Scope, "orders/reader")
        .with(Column::Secret, "ghp_0123456789")
}

fn refused(intake: &mut Intake<'_>, line: &Line<'_>) -> (String, String) {
    match intake.accept(1, line) {
        Err(Refusal::Invalid { field, message }) => (field, message),
        other => panic!("not refused: {other:?}"),
    }
}

fn taken(intake: &mut Intake<'_>, line: &Line<'_>) -> ApiToken {
    let Ok(Accepted::New(entry)) = intake.accept(1, line) else { panic!("refused: {line:?}") };
    let change = intake.tokens(vec![entry]);
    let Some(Write::Token(token)) = change.writes.into_iter().next() else { panic!("no token") };
    token
}

#[test]
fn a_line_becomes_a_token_with_the_defaults_of_a_new_one() {
    let world = World::new();
    let token = taken(&mut intake(&world, false), &good());
    assert_eq!(token.digest, Digest::of(b"ghp_0123456789"));
    assert_eq!((token.owner, token.org), (world.member.id, world.org.id));
    assert_eq!(token.scope, roles(&[3]));
    assert_eq!((token.created_at, token.issued_at), (world.now, world.now));
    assert_eq!(token.expires_at, at("2027-07-01T00:00:00Z"));
    assert_eq!(token.status, TokenStatus::Activated(None));
    assert_eq!((token.created_by, token.minted_by), (None, None));
}

#[test]
fn each_field_that_is_wrong_is_named_and_nothing_of_it_told() {
    let world = World::new();
    let oops = "bwt_oops";
    for (line, field) in [
        (good().with(Column::Secret, ""), "digest"),
        (good().with(Column::Digest, "ab"), "secret"),
        (good().with(Column::Secret, "").with(Column::Digest, oops), "digest"),
        // A secret of our own form whose checksum is wrong, and what no client can present.
        (good().with(Column::Secret, oops), "secret"),
        (good().with(Column::Secret, "a b"), "secret"),
        (good().with(Column::Secret, "é"), "secret"),
        (good().with(Column::Secret, "x".repeat(4097)), "secret"),
        (good().with(Column::Name, ""), "name"),
        (good().with(Column::Name, format!("{oops}\u{7}")), "name"),
        (good().with(Column::Owner, oops), "owner"),
        (good().with(Column::Owner, "bwt_oops@example.com"), "owner"),
        (good().with(Column::Scope, oops), "scope"),
        (good().with(Column::Scope, "orders/writer"), "scope"),
        (good().with(Column::CreatedAt, oops), "created_at"),
        (good().with(Column::ExpiresAt, oops), "expires_at"),
        (good().with(Column::ExpiresAt, "2032-01-01T00:00:00.001Z"), "expires_at"),
        (good().with(Column::ExpiresAt, "2026-01-01T00:00:00Z"), "expires_at"),
        (good().with(Column::IssuedAt, "2027-01-01T00:00:00.001Z"), "issued_at"),
        (
            good()
                .with(Column::CreatedAt, "2026-05-01T00:00:00Z")
                .with(Column::IssuedAt, "2026-04-01T00:00:00Z"),
            "created_at",
        ),
        (good().with(Column::Status, oops), "status"),
        (good().with(Column::StatusGoverned, oops), "status_governed"),
        (good().with(Column::StatusBy, oops), "status_by"),
        (good().with(Column::StatusReason, format!("{oops}\u{1b}")), "status_reason"),
        (good().with(Column::UseCount, oops), "use_count"),
        (good().with(Column::LastUsedAt, oops), "last_used_at"),
        (good().with(Column::Id, oops), "id"),
        (good().with(Column::MintedBy, oops), "minted_by"),
        (good().with(Column::Ignores, oops), "ignores"),
    ] {
        let (found, message) = refused(&mut intake(&world, false), &line);
        assert_eq!(found, field, "{line:?}: {message}");
        assert!(!message.contains("oops"), "{message}");
    }
    // The last instant that is allowed, and none at all.
    for end in ["2032-01-01T00:00:00Z", "2027-01-01T00:00:00Z"] {
        taken(&mut intake(&world, false), &good().with(Column::ExpiresAt, end));
    }
}

#[test]
fn a_secret_of_ours_is_taken_with_its_checksum() {
    let world = World::new();
    let secret = Secret::generate(PREFIX, crate::admin::system_random).expect("random bytes");
    let line = good().with(Column::Secret, secret.expose().to_owned());
    assert_eq!(taken(&mut intake(&world, false), &line).digest, secret.digest());
}

#[test]
fn what_the_organization_has_is_passed_over() {
    let world = World::new();
    let mut intake = intake(&world, false);
    let token = taken(&mut intake, &good());
    let places = intake.places();
    intake.know(&token, &places);
    assert!(matches!(intake.accept(2, &good()), Ok(Accepted::Known)));
}

#[test]
fn owners_are_made_with_what_their_tokens_need_and_never_to_govern() {
    let world = World::new();
    let mut intake = intake(&world, true);
    let of = |email, scope, secret| {
        good().with(Column::Owner, email).with(Column::Scope, scope).with(Column::Secret, secret)
    };
    for (email, scope, secret) in [
        ("new@example.com", "orders/reader", "a1"),
        ("NEW@example.com", "orders/writer", "a2"),
        ("other@example.com", "", "a3"),
    ] {
        intake.accept(1, &of(email, scope, secret)).expect("good");
    }
    for (line, field) in [
        (of("chief@example.com", "org_owner", "a4"), "scope"),
        (of("new@example.com", "org_admin", "a5"), "scope"),
        (of("chief@example.com", "", "a6").with(Column::OwnerRoles, "org_owner"), "owner_roles"),
        // The file says what the owner holds, and the token carries more.
        (
            of("less@example.com", "orders/writer", "a7").with(Column::OwnerRoles, "org_member"),
            "scope",
        ),
    ] {
        assert_eq!(refused(&mut intake, &line).0, field, "{line:?}");
    }
    let changes: Vec<Change> = intake.owners(2).collect();
    let made: Vec<(String, RoleSet)> = changes
        .into_iter()
        .flat_map(|change| change.writes)
        .map(|write| {
            let Write::User(user) = write else { panic!("no user: {write:?}") };
            assert!(!user.operator && user.org == world.org.id);
            (user.email, user.roles)
        })
        .collect();
    assert_eq!(
        made[..2],
        [
            ("new@example.com".to_owned(), roles(&[2, 3, 4])),
            ("other@example.com".to_owned(), roles(&[2])),
        ]
    );
}

#[test]
fn a_user_owns_so_many_tokens_and_no_more() {
    let world = World::new();
    let mut intake = intake(&world, false);
    let places = intake.places();
    let known = world.token(1, &world.member);
    for number in 2..=u128::from(TOKENS_PER_USER_MAX) {
        let digest = Digest::of(&number.to_le_bytes());
        intake.know(&ApiToken { digest, ..known.clone() }, &places);
    }
    let of = |secret: &'static str| good().with(Column::Secret, secret);
    intake.accept(1, &of("last")).expect("there is room for one");
    assert_eq!(refused(&mut intake, &of("more")).0, "owner");
    // Revoked ones do not count.
    intake.accept(1, &of("dead").with(Column::Status, "revoked")).expect("it does not count");
}

#[test]
fn an_identity_is_taken_once_and_new_ones_grow() {
    let world = World::new();
    let mut intake = intake(&world, false);
    let id = TokenId::from_bits(77);
    let line = good().with(Column::Id, id.to_string());
    assert_eq!(taken(&mut intake, &line).id, id);
    let again = line.with(Column::Secret, "another");
    assert_eq!(refused(&mut intake, &again).0, "id");
    let next = |intake: &mut Intake<'_>, secret: &'static str| {
        taken(intake, &good().with(Column::Secret, secret)).id
    };
    assert!(next(&mut intake, "b") < next(&mut intake, "c"));
}

#[test]
fn the_trail_tells_of_the_import_as_a_whole() {
    let world = World::new();
    let change = event(&world.org, "tokens.csv", 1_000_000, 17, &world.occasion());
    let [event] = &change.events[..] else { panic!("one event") };
    assert_eq!((event.action, &event.actor), (Action::TokensImported, &Actor::Offline));
    assert!(format!("{:?}", event.changes).contains("1000000"));
}

proptest! {
    /// Whatever a token of the member is like, its line makes the same one.
    #[test]
    fn a_token_survives_its_line(
        name in "[a-z=+@' -]{1,20}x",
        reason in proptest::option::of("[a-z=+@', \"-]{1,40}x"),
        kind in 0..4,
        governed: bool,
        created in 0_i64..800_000_000_000,
        life in 1_i64..100_000_000_000,
        used in proptest::option::of((0_i64..1_700_000_000_000, 1_u64..)),
        by in proptest::option::of(any::<u128>()),
    ) {
        let world = World::new();
        let at = Timestamp::from_millis(created);
        let change = StatusChange { at, by: by.map(UserId::from_bits), reason, governed };
        let status = match kind {
            0 => TokenStatus::Activated(None),
            1 => TokenStatus::Activated(Some(change)),
            2 => TokenStatus::Deactivated(change),
            _ => TokenStatus::Revoked(change),
        };
        let usage = used.map_or_else(Usage::default, |(at, use_count)| {
            Usage { last_used_at: Some(Timestamp::from_millis(at)), use_count, ..UNUSED }
        });
        let token = ApiToken {
            name,
            status,
            version: UNWRITTEN,
            created_by: by.map(UserId::from_bits),
            minted_by: by.map(TokenId::from_bits),
            created_at: at,
            issued_at: Timestamp::from_millis(created + 5),
            expires_at: Timestamp::from_millis(created + 5 + life),
            ..world.token(7, &world.member)
        };
        let row = crate::inventory::Row { token: &token, usage: &usage, owner: Some(&world.member) };
        let line = row.line(&world.table);
        let mut intake = intake(&world, false);
        let Ok(Accepted::New(entry)) = intake.accept(1, &line) else { panic!("refused: {line:?}") };
        let change = intake.tokens(vec![entry]);
        prop_assert_eq!(&change.writes[0], &Write::Token(token.clone()));
        let added: Vec<_> = change.writes[1..].to_vec();
        let expected: Vec<_> =
            used.iter().map(|_| Write::Usage(token.id, usage)).collect();
        prop_assert_eq!(added, expected);
    }
}
