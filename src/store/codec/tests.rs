use super::*;
use crate::audit::{Action, Actor, Draft, Event, FieldChange, Origin, Target};
use crate::change::Creation;
use crate::org::{Governance, Organization, Revision, StatusChange, User, UserStatus};
use crate::policy::{Ignore, Ignores, Policies, TtlPolicy};
use crate::role::{RoleId, RoleName, RoleSet};
use crate::secret::Digest;
use crate::store::engine::Table;
use crate::time::{Ttl, Unit};
use crate::token::{ApiToken, FormerSecret, Reuse, TokenStatus, Usage};
use crate::validation::{Counts, Findings, Flag, Mark, Run, RunState, Schedule, Trigger};
use serde::Serialize;
use std::fmt::{Debug, Write};
use std::time::Duration;

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn switched() -> StatusChange {
    StatusChange {
        at: at(-1),
        by: Some(UserId::from_bits(3)),
        reason: Some("ü".to_owned()),
        governed: true,
    }
}

fn an_organization() -> Organization {
    Organization {
        id: OrgId::from_bits(u128::MAX),
        version: Revision(300),
        name: "Acme".to_owned(),
        governance: Governance::Deactivated,
        policies: Policies {
            idle_ttl: TtlPolicy { active: true, ttl: Ttl::new(90, Unit::Days) },
            max_ttl: TtlPolicy { active: false, ttl: Ttl::new(7, Unit::Months) },
        },
        created_at: at(1_800_000_000_000),
    }
}

fn a_user(status: UserStatus) -> User {
    User {
        id: UserId::from_bits(3),
        version: Revision(1),
        org: OrgId::from_bits(2),
        email: "a@x".to_owned(),
        name: "Ann".to_owned(),
        roles: RoleSet::from_iter([RoleId::ORG_OWNER, RoleId(64)]),
        operator: true,
        status,
        created_at: at(5),
        external_id: None,
    }
}

fn a_token(status: TokenStatus) -> ApiToken {
    ApiToken {
        id: TokenId::from_bits(4),
        version: Revision(2),
        org: OrgId::from_bits(2),
        owner: UserId::from_bits(3),
        created_by: None,
        minted_by: Some(TokenId::from_bits(1)),
        name: "t".to_owned(),
        scope: RoleSet::from_iter([RoleId::ORG_MEMBER]),
        digest: Digest::from_bytes([0xab; 32]),
        created_at: at(1),
        issued_at: at(2),
        expires_at: at(3),
        ignores: Ignores {
            idle_ttl: None,
            max_ttl: Some(Box::new(Ignore {
                until: at(9),
                at: at(8),
                by: UserId::from_bits(3),
                reason: Some("r".to_owned()),
            })),
        },
        status,
        former: Vec::new(),
    }
}

fn a_usage() -> Usage {
    let reuse = Reuse { count: 2, last_at: Some(at(9)) };
    Usage { last_used_at: Some(at(8)), use_count: 300, reuse }
}

fn an_event() -> Event {
    Event {
        seq: 1,
        revision: Revision(2),
        said: Draft {
            org: OrgId::from_bits(2),
            at: at(6),
            actor: Actor::User { user: UserId::from_bits(3), token: TokenId::from_bits(4) },
            action: Action::TokenRevoked,
            target: Target::Token(TokenId::from_bits(4)),
            target_name: "t".to_owned(),
            origin: Origin {
                address: Some([192, 0, 2, 1].into()),
                request_id: Some("r".to_owned()),
            },
            reason: None,
            changes: vec![FieldChange {
                field: "name".to_owned(),
                before: Some("s".to_owned()),
                after: None,
            }],
        },
    }
}

fn a_creation() -> Creation {
    Creation { key: [1; 32], request: [2; 32], made: "tok".to_owned(), at: at(7) }
}

fn a_run(state: RunState) -> Run {
    Run {
        org: OrgId::from_bits(2),
        number: 3,
        trigger: Trigger::PolicyChanged,
        by: Some(UserId::from_bits(3)),
        asked_at: at(6),
        state,
    }
}

/// The bytes of a record, which must also read back.
fn bytes<T: Serialize + DeserializeOwned + PartialEq + Debug>(record: &T) -> String {
    let bytes = encode(record).unwrap();
    assert_eq!(decode::<T>(&bytes).as_ref(), Ok(record));
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// Stores that exist are made of these bytes. When this fails, do not change the expectations:
/// make a new record version that reads both (see the module's documentation).
#[test]
fn what_is_stored_stays_readable() {
    let role: RoleName = "billing/reader".parse().unwrap();
    let expected = [
        (
            bytes(&an_organization()),
            "01 ffffffffffffffffffffffffffffffffffff03 ac02 0441636d65 01 015a02 000703 80c0e285e368",
        ),
        (
            bytes(&a_user(UserStatus::Activated(None))),
            "01 03 01 02 03614078 03416e6e 010101 01 0000 0a 00",
        ),
        (
            bytes(&a_user(UserStatus::Deactivated(switched()))),
            "01 03 01 02 03614078 03416e6e 010101 01 01 01 0103 0102c3bc 01 0a 00",
        ),
        (
            bytes(&a_token(TokenStatus::Activated(None))),
            "01 04 02 02 03 00 0101 0174 0400 abababababababababababababababababababababababab\
             abababababababab 02 04 06 00 01 12 10 03 010172 00 00 00",
        ),
        (
            bytes(&ApiToken {
                former: vec![FormerSecret {
                    digest: Digest::from_bytes([0xcd; 32]),
                    rotated_at: at(10),
                    ends_at: at(11),
                    until_first_use: true,
                }],
                ..a_token(TokenStatus::Activated(None))
            }),
            "01 04 02 02 03 00 0101 0174 0400 abababababababababababababababababababababababab\
             abababababababab 02 04 06 00 01 12 10 03 010172 00 00 01 cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd\
             cdcdcdcdcdcdcdcd 14 16 01",
        ),
        (
            bytes(&a_token(TokenStatus::Activated(Some(switched())))),
            "01 04 02 02 03 00 0101 0174 0400 abababababababababababababababababababababababab\
             abababababababab 02 04 06 00 01 12 10 03 010172 00 01 01 0103 0102c3bc 01 00",
        ),
        (
            bytes(&a_token(TokenStatus::Deactivated(switched()))),
            "01 04 02 02 03 00 0101 0174 0400 abababababababababababababababababababababababab\
             abababababababab 02 04 06 00 01 12 10 03 010172 01 01 0103 0102c3bc 01 00",
        ),
        (
            bytes(&a_token(TokenStatus::Revoked(switched()))),
            "01 04 02 02 03 00 0101 0174 0400 abababababababababababababababababababababababab\
             abababababababab 02 04 06 00 01 12 10 03 010172 02 01 0103 0102c3bc 01 00",
        ),
        (bytes(&a_usage()), "01 0110 ac02 02 0112"),
        (bytes(&Usage::default()), "01 00 00 00 00"),
        (
            bytes(&an_event()),
            "01 01 02 02 0c 000304 0c 0204 0174 0100c0000201 010172 00 01 046e616d65 010173 00",
        ),
        (bytes(&role), "01 0e62696c6c696e672f726561646572"),
        (
            bytes(&a_creation()),
            "01 0101010101010101010101010101010101010101010101010101010101010101 \
             0202020202020202020202020202020202020202020202020202020202020202 03746f6b 0e",
        ),
        (
            bytes(&Schedule {
                org: OrgId::from_bits(2),
                next_at: at(6),
                latest: 3,
                queued: Some(3),
                running: None,
                compared: Some(1),
            }),
            "01 02 0c 03 0103 00 0101",
        ),
        (bytes(&a_run(RunState::Queued)), "01 02 03 01 0103 0c 00"),
        (bytes(&a_run(RunState::Running { started_at: at(7) })), "01 02 03 01 0103 0c 01 0e"),
        (
            bytes(&a_run(RunState::Finished(Findings {
                started_at: at(7),
                finished_at: at(8),
                took: Duration::from_millis(1_001),
                counts: Counts { tokens: 300, flagged: 4, new: 3, cleared: 2 },
            }))),
            "01 02 03 01 0103 0c 02 0e 10 01 c0843d ac02 04 03 02",
        ),
        (
            bytes(&vec![Flag {
                token: TokenId::from_bits(4),
                idle_ttl: None,
                max_ttl: Some(Mark { found_at: at(9) }),
            }]),
            "01 01 04 00 01 12",
        ),
    ];
    for (bytes, expected) in expected {
        assert_eq!(bytes, expected.replace(' ', ""));
    }
}

/// A variant in the middle of an enum would renumber those behind it.
#[test]
fn variants_keep_their_numbers() {
    let numbers = |encoded: Vec<Vec<u8>>| encoded.concat();
    let actions = [
        Action::OrganizationCreated,
        Action::OrganizationUpdated,
        Action::PoliciesUpdated,
        Action::UserCreated,
        Action::UserUpdated,
        Action::UserDeactivated,
        Action::UserActivated,
        Action::UserRemoved,
        Action::TokenCreated,
        Action::TokenUpdated,
        Action::TokenDeactivated,
        Action::TokenActivated,
        Action::TokenRevoked,
        Action::ViolationIgnored,
        Action::ViolationCounted,
        Action::StoreBackedUp,
        Action::StoreRestored,
        Action::ValidationFinished,
        Action::TokenRotated,
        Action::FormerSecretEnded,
        Action::TokensImported,
        Action::TokensExported,
    ];
    let encoded = actions.iter().map(|action| encode(action).unwrap()[1..].to_vec()).collect();
    assert_eq!(numbers(encoded), (0..22).collect::<Vec<u8>>());
    let units = [Unit::Minutes, Unit::Hours, Unit::Days, Unit::Months];
    let encoded = units.iter().map(|unit| encode(unit).unwrap()[1..].to_vec()).collect();
    assert_eq!(numbers(encoded), [0, 1, 2, 3]);
    let governance = [Governance::Activated, Governance::Deactivated];
    let encoded = governance.iter().map(|state| encode(state).unwrap()[1..].to_vec()).collect();
    assert_eq!(numbers(encoded), [0, 1]);
    let user = UserId::from_bits(0);
    let triggers = [Trigger::Scheduled, Trigger::PolicyChanged, Trigger::OnDemand];
    let encoded = triggers.iter().map(|trigger| encode(trigger).unwrap()[1..].to_vec()).collect();
    assert_eq!(numbers(encoded), [0, 1, 2]);
    let actors =
        [Actor::User { user, token: TokenId::from_bits(0) }, Actor::Offline, Actor::System];
    let encoded = actors.iter().map(|actor| encode(actor).unwrap()[1..].to_vec()).collect();
    assert_eq!(numbers(encoded), [0, 0, 0, 1, 2]);
    let org = OrgId::from_bits(0);
    let targets =
        [Target::Organization(org), Target::User(user), Target::Token(TokenId::from_bits(0))];
    let encoded = targets.iter().map(|target| encode(target).unwrap()[1..].to_vec()).collect();
    assert_eq!(numbers(encoded), [0, 0, 1, 0, 2, 0]);
}

#[test]
fn what_is_no_record_is_an_error() {
    let whole = encode(&an_organization()).unwrap();
    let error = |bytes: &[u8]| decode::<Organization>(bytes).unwrap_err();
    assert_eq!(decode::<Organization>(&whole), Ok(an_organization()));
    for length in 0..whole.len() {
        error(&whole[..length]);
    }
    error(&[&whole[..], &[0]].concat());
    let newer = [&[2], &whole[1..]].concat();
    assert!(matches!(error(&newer), Failure::Broken(why) if why.contains("version is 2")));
    for bytes in [&[][..], &[1; 15], &[1; 17]] {
        read_id(bytes).unwrap_err();
        read_pair(bytes).unwrap_err();
        read_number(bytes).unwrap_err();
        read_event_seq(bytes).unwrap_err();
    }
}

#[test]
fn keys_sort_as_what_they_name() {
    let (low, high) = (OrgId::from_bits(255), OrgId::from_bits(256));
    assert!(token(low, TokenId::from_bits(u128::MAX)) < token(high, TokenId::from_bits(0)));
    assert!(event(low, 255) < event(low, 256));
    assert!(event(low, u64::MAX) < event(high, 1));
    assert!(creation_end(at(255), &[9; 32]) < creation_end(at(256), &[0; 32]));
    assert!(creation_end(at(-5), &[0; 32]) < creation_end(at(1), &[0; 32]));
    assert_eq!(email(low, "Ä@X"), email(low, "ä@x"));
}

/// As the records themselves: stores that exist have these keys.
#[test]
fn keys_stay_as_they_are() {
    let (org, id) = (OrgId::from_bits(0x0102 << 96), TokenId::from_bits(0x0304));
    let org_bytes = [0, 0, 1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let id_bytes = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 4];
    assert_eq!(token(org, id)[..], [org_bytes, id_bytes].concat());
    assert_eq!(user(org, UserId::from_bits(0x0304)), token(org, id));
    assert_eq!(owned(UserId::from_bits(org.bits()), id), token(org, id));
    assert_eq!(read_pair(&token(org, id)), Ok((org.bits(), id.bits())));
    let part = segment(org, 5, 6);
    assert_eq!(part[..], [&event(org, 5)[..], &[0, 0, 0, 6]].concat());
    assert_eq!(read_segment(&part), Ok((5, 6)));
    read_segment(&part[..27]).unwrap_err();
    assert_eq!(event(org, 5)[..], [&org_bytes[..], &[0, 0, 0, 0, 0, 0, 0, 5]].concat());
    assert_eq!(email(org, "A@x"), [&org_bytes[..], b"a@x"].concat());
    let end = creation_end(at(258), &[7; 32]);
    assert_eq!(end[..], [&[0, 0, 0, 0, 0, 0, 1, 2][..], &[7; 32]].concat());
    let names = Table::ALL.map(Table::name);
    let expected = "meta organizations users user_homes emails tokens token_homes digests owned \
                    usage events roles creations creation_ends schedules runs flags";
    assert_eq!(names.join(" "), expected);
    assert!(Table::ALL.into_iter().enumerate().all(|(number, table)| table as usize == number));
}
