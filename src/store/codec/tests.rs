use super::*;
use crate::audit::chain::{Cause, Checkpoint, Head};
use crate::audit::{Action, Actor, Draft, FieldChange, Origin, Target};
use crate::change::Creation;
use crate::exemption::{Exempt, Exemption};
use crate::id::{ExemptionId, WebhookId};
use crate::notice::{Addressee, Detail, Draft as Told, Kind, Notice, State, Webhook};
use crate::org::{Governance, Organization, Revision, StatusChange, User, UserStatus};
use crate::policy::{Enforcement, Ignore, Ignores, Policies, PolicyKind, TtlPolicy};
use crate::role::{RoleId, RoleName, RoleSet};
use crate::secret::Digest;
use crate::store::engine::Table;
use crate::store::record::Card;
use crate::store::trail::Body;
use crate::time::{Day, Ttl, Unit};
use crate::token::watch::{Gap, Watch};
use crate::token::{
    ApiToken, Days, FormerSecret, NOTIFY_BEFORE_EXPIRY, Needs, Reuse, TokenStatus, Usage, Used,
};
use crate::validation::{Counts, Findings, Flag, Mark, Run, RunState, Schedule, Telling, Trigger};
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
            idle_ttl: TtlPolicy {
                active: true,
                ttl: Ttl::new(90, Unit::Days),
                enforcement: Some(Enforcement {
                    deactivate_after: Ttl::new(7, Unit::Days),
                    revoke_after: None,
                    since: at(4),
                }),
            },
            max_ttl: TtlPolicy { active: false, ttl: Ttl::new(7, Unit::Months), enforcement: None },
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
        modified_at: at(5),
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
        notify_before_expiry: NOTIFY_BEFORE_EXPIRY.to_vec(),
    }
}

fn a_row_of_uses() -> Used {
    let mut days = Days::default();
    days.add(Day::default().later(1), 300);
    days.add(Day::default().later(3), 5);
    let mut needs = Needs::default();
    let need = |any_of: &[u32], all_of: &[u32]| Need {
        any_of: any_of.iter().copied().map(RoleId).collect(),
        all_of: all_of.iter().copied().map(RoleId).collect(),
    };
    needs.add(&need(&[3, 64], &[]), Day::default().later(2));
    needs.add(&need(&[], &[1]), Day::default().later(3));
    Used { usage: a_usage(), days, needs }
}

fn a_usage() -> Usage {
    let reuse = Reuse { count: 2, last_at: Some(at(9)) };
    Usage { last_used_at: Some(at(8)), use_count: 300, reuse }
}

fn an_event() -> Body {
    Body {
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

fn a_head() -> Head {
    Head { seq: 300, link: Link::from_bytes([0xcd; 32]), at: at(6) }
}

fn a_checkpoint() -> Checkpoint {
    let seal = Link::from_bytes([0xef; 32]);
    Checkpoint { through: a_head(), made_at: at(8), cause: Cause::NewKey, seal }
}

fn a_notice(to: Addressee, state: State) -> Notice {
    Notice {
        id: NoticeId::from_bits(5),
        version: Revision(2),
        to,
        state,
        says: Told {
            org: OrgId::from_bits(2),
            at: at(6),
            kind: Kind::Deactivated,
            about: About::Token(TokenId::from_bits(4), "t".to_owned()),
            to: Vec::new(),
            by: Some(UserId::from_bits(3)),
            reason: Some("ü".to_owned()),
            details: vec![Detail::new("a", "b")],
        },
    }
}

fn a_webhook() -> Webhook {
    Webhook {
        id: WebhookId::from_bits(6),
        version: Revision(2),
        org: OrgId::from_bits(2),
        url: "https://x".to_owned(),
        kinds: vec![Kind::Created, Kind::Revoked],
        activated: true,
        sealed_secret: vec![0xaa, 0xbb],
        created_at: at(1),
        created_by: UserId::from_bits(3),
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
            "01 ffffffffffffffffffffffffffffffffffff03 ac02 0441636d65 01 015a02 0107020008 00070300 80c0e285e368",
        ),
        (
            bytes(&a_user(UserStatus::Activated(None))),
            "01 03 01 02 03614078 03416e6e 010101 01 0000 0a 00 0a",
        ),
        (
            bytes(&a_user(UserStatus::Deactivated(switched()))),
            "01 03 01 02 03614078 03416e6e 010101 01 01 01 0103 0102c3bc 01 0a 00 0a",
        ),
        (
            bytes(&a_token(TokenStatus::Activated(None))),
            "01 04 02 02 03 00 0101 0174 0400 abababababababababababababababababababababababab\
             abababababababab 02 04 06 00 01 12 10 03 010172 00 00 00 020701",
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
             cdcdcdcdcdcdcdcd 14 16 01 020701",
        ),
        (
            bytes(&a_token(TokenStatus::Activated(Some(switched())))),
            "01 04 02 02 03 00 0101 0174 0400 abababababababababababababababababababababababab\
             abababababababab 02 04 06 00 01 12 10 03 010172 00 01 01 0103 0102c3bc 01 00 020701",
        ),
        (
            bytes(&a_token(TokenStatus::Deactivated(switched()))),
            "01 04 02 02 03 00 0101 0174 0400 abababababababababababababababababababababababab\
             abababababababab 02 04 06 00 01 12 10 03 010172 01 01 0103 0102c3bc 01 00 020701",
        ),
        (
            bytes(&a_token(TokenStatus::Revoked(switched()))),
            "01 04 02 02 03 00 0101 0174 0400 abababababababababababababababababababababababab\
             abababababababab 02 04 06 00 01 12 10 03 010172 02 01 0103 0102c3bc 01 00 020701",
        ),
        (bytes(&a_usage()), "01 0110 ac02 02 0112"),
        (bytes(&Usage::default()), "01 00 00 00 00"),
        (bytes(&Used::default()), "01 00 00 00 00 00 00 00 00"),
        (
            bytes(&Watch {
                since: at(1),
                through: at(2),
                is_open: true,
                gaps: vec![Gap { from: at(3), until: at(4) }],
            }),
            "01 02 04 01 01 06 08",
        ),
        (
            bytes(&a_row_of_uses()),
            "01 0110 ac02 02 0112 06 03 05 00 ac02 02 08 0101 00 00 04 00 00 02 00 06 00",
        ),
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
    ];
    for (bytes, expected) in expected {
        assert_eq!(bytes, expected.replace(' ', ""));
    }
}

/// As above, for what the index of digests says of each secret.
#[test]
fn what_a_digest_stands_for_stays_readable() {
    let rotated = ApiToken {
        former: vec![FormerSecret {
            digest: Digest::from_bytes([0xcd; 32]),
            rotated_at: at(10),
            ends_at: at(11),
            until_first_use: true,
        }],
        ..a_token(TokenStatus::Revoked(switched()))
    };
    let card = |token: &ApiToken, digest: u8| {
        Card::of(token, &Digest::from_bytes([digest; 32])).map(|card| bytes(&card))
    };
    let expected = [
        (card(&a_token(TokenStatus::Activated(None)), 0xab), "01 03 0400 06 00 02 00"),
        (card(&a_token(TokenStatus::Deactivated(switched())), 0xab), "01 03 0400 06 01 02 00"),
        (card(&rotated, 0xab), "01 03 0400 06 02 02 01"),
        (
            card(&rotated, 0xcd),
            "01 03 0400 06 02 02 02 16 01 abababababababababababababababababababababababab\
             abababababababab",
        ),
    ];
    for (bytes, expected) in expected {
        assert_eq!(bytes, Some(expected.replace(' ', "")));
    }
    assert_eq!(card(&rotated, 0xee), None);
}

/// As above, for what validation stores.
#[test]
fn what_validation_stores_stays_readable() {
    let expected = [
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
                counts: Counts {
                    tokens: 300,
                    flagged: 4,
                    new: 3,
                    cleared: 2,
                    warned: 5,
                    deactivated: 6,
                    revoked: 7,
                },
            }))),
            "01 02 03 01 0103 0c 02 0e 10 01 c0843d ac02 04 03 02 05 06 07",
        ),
        (
            bytes(&a_run(RunState::Telling(Telling {
                started_at: at(7),
                took: Duration::from_millis(1_001),
                counts: Counts { tokens: 300, ..Counts::default() },
                segments: 2,
                through: Some(UserId::from_bits(3)),
            }))),
            "01 02 03 01 0103 0c 03 0e 01 c0843d ac02 00 00 00 00 00 00 02 0103",
        ),
        (
            bytes(&vec![Flag {
                token: TokenId::from_bits(4),
                owner: UserId::from_bits(3),
                idle_ttl: None,
                max_ttl: Some(Mark {
                    found_at: at(9),
                    warned_at: Some(at(10)),
                    deactivated_at: None,
                    told: crate::validation::Told::Warned,
                }),
            }]),
            "01 01 04 03 00 01 12 0114 00 02",
        ),
        (
            bytes(&Exemption {
                id: ExemptionId::from_bits(5),
                version: Revision(1),
                org: OrgId::from_bits(2),
                exempt: Exempt::User(UserId::from_bits(3)),
                policy: PolicyKind::MaxTtl,
                until: at(9),
                created_at: at(8),
                created_by: UserId::from_bits(3),
                reason: None,
            }),
            "01 05 01 02 0103 01 12 10 03 00",
        ),
    ];
    for (bytes, expected) in expected {
        assert_eq!(bytes, expected.replace(' ', ""));
    }
}

/// As the records.
#[test]
fn pages_of_the_journal_stay_readable() {
    let need = |role| Arc::new(Need::all_of([RoleId(role)].into_iter().collect()));
    let uses = [
        Use {
            token: TokenId::from_bits(0x0102 << 64 | 3),
            usage: Usage {
                last_used_at: Some(at(258)),
                use_count: 300,
                reuse: Reuse { last_at: Some(at(259)), count: 2 },
            },
            needs: vec![need(3), need(4)],
        },
        Use { token: TokenId::from_bits(u128::MAX), usage: Usage::default(), needs: vec![need(4)] },
    ];
    let page = encode_uses(&uses).unwrap();
    let text = page.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    });
    let expected = "01 00000009 02 00 00 08 00 00 00 10 00 \
                    0000000000000102 0000000000000003 0000000000000102 000000000000012c \
                    0000000000000103 0000000000000002 0000000000000003 \
                    ffffffffffffffff ffffffffffffffff 8000000000000000 0000000000000000 \
                    8000000000000000 0000000000000000 0000000000000002";
    assert_eq!(text, expected.replace(' ', ""));
    let read = super::uses(&page).unwrap();
    assert_eq!(read.all().unwrap(), uses);
    let ends = (read.first(), read.last(), read.len());
    assert_eq!(ends, (Some(uses[0].token), Some(uses[1].token), 2));
    for Use { token, usage, needs } in &uses {
        let (found, met) = read.find(*token).unwrap();
        assert_eq!(found, *usage);
        let mut named = Vec::new();
        met.each(|need| named.push(Arc::clone(need))).unwrap();
        assert_eq!(named, *needs);
        assert!(read.find(TokenId::from_bits(token.bits() - 1)).is_none());
    }
    // The version, and what was needed with its length.
    let head = 1 + 4 + 9;
    for length in 0..page.len() {
        let is_whole = length >= head && (length - head).is_multiple_of(56);
        assert_eq!(super::uses(&page[..length]).is_ok(), is_whole, "{length}");
    }
    let newer = [&[2], &page[1..]].concat();
    assert!(
        matches!(super::uses(&newer), Err(Failure::Broken(why)) if why.contains("journal is 2"))
    );
    let key = journal(0x0506, TokenId::from_bits(7));
    assert_eq!(key[..], [[0, 0, 0, 0, 0, 0, 5, 6], [0; 8], [0, 0, 0, 0, 0, 0, 0, 7]].concat());
    assert_eq!(read_journal(&key), Ok((0x0506, TokenId::from_bits(7))));
    for bytes in [&key[..7], &key[..23], &[&key[..], &[0]].concat()] {
        read_journal(bytes).unwrap_err();
    }
}

/// The same of what stands beside the events of a trail.
#[test]
fn the_ends_of_a_trail_stay_readable() {
    let expected = [
        (
            bytes(&a_head()),
            "01 ac02 cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd 0c",
        ),
        (
            bytes(&a_checkpoint()),
            "01 ac02 cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd 0c 10 01 \
             efefefefefefefefefefefefefefefefefefefefefefefefefefefefefefefef",
        ),
    ];
    for (bytes, expected) in expected {
        assert_eq!(bytes, expected.replace(' ', ""));
    }
}

/// As above.
#[test]
fn what_is_owed_stays_readable() {
    let expected = [
        (
            bytes(&a_notice(
                Addressee::User(UserId::from_bits(3)),
                State::Settling { since: at(6) },
            )),
            "01 05 02 0003 000c 02 0c 00 00040174 00 0103 0102c3bc 0101610162",
        ),
        (
            bytes(&a_notice(
                Addressee::Webhook(WebhookId::from_bits(6)),
                State::Waiting { due_at: at(7), attempts: 300, error: Some("x".to_owned()) },
            )),
            "01 05 02 0106 010eac02010178 02 0c 00 00040174 00 0103 0102c3bc 0101610162",
        ),
        (bytes(&a_webhook()), "01 06 02 02 0968747470733a2f2f78 020204 01 02aabb 02 03"),
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
        Action::ExemptionGranted,
        Action::ExemptionWithdrawn,
        Action::CallRefused,
        Action::WebhookCreated,
        Action::WebhookUpdated,
        Action::WebhookRemoved,
        Action::NoticeFailed,
        Action::NoticeRedelivered,
        Action::ValidationRequested,
        Action::LeakReported,
        Action::SignedIn,
        Action::SignedOut,
        Action::NoticeDelivered,
        Action::NoticeUndeliverable,
    ];
    let encoded = actions.iter().map(|action| encode(action).unwrap()[1..].to_vec()).collect();
    assert_eq!(numbers(encoded), (0..36).collect::<Vec<u8>>());
    let kinds = Kind::ALL.iter().map(|kind| encode(kind).unwrap()[1..].to_vec()).collect();
    assert_eq!(numbers(kinds), (0..14).collect::<Vec<u8>>());
    let (when, error) = (at(0), String::new());
    let by = NoticeId::from_bits(0);
    let states = [
        State::Settling { since: when },
        State::Waiting { due_at: when, attempts: 0, error: None },
        State::Delivered { at: when, attempts: 0 },
        State::Dead { at: when, attempts: 0, error },
        State::Superseded { at: when, by },
        State::NoChannel { at: when },
    ];
    let first = states.iter().map(|state| encode(state).unwrap()[1..2].to_vec()).collect();
    assert_eq!(numbers(first), [0, 1, 2, 3, 4, 5]);
    let subjects = [
        About::Token(TokenId::from_bits(0), String::new()),
        About::User(UserId::from_bits(0), String::new()),
        About::Organization,
    ];
    let first = subjects.iter().map(|about| encode(about).unwrap()[1..2].to_vec()).collect();
    assert_eq!(numbers(first), [0, 1, 2]);
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
    let actors = [
        Actor::User { user, token: TokenId::from_bits(0) },
        Actor::Offline,
        Actor::System,
        Actor::Unknown,
    ];
    let encoded = actors.iter().map(|actor| encode(actor).unwrap()[1..].to_vec()).collect();
    assert_eq!(numbers(encoded), [0, 0, 0, 1, 2, 3]);
    let org = OrgId::from_bits(0);
    let targets = [
        Target::Organization(org),
        Target::User(user),
        Target::Token(TokenId::from_bits(0)),
        Target::Webhook(WebhookId::from_bits(0)),
        Target::Notice(NoticeId::from_bits(0)),
    ];
    let encoded = targets.iter().map(|target| encode(target).unwrap()[1..].to_vec()).collect();
    assert_eq!(numbers(encoded), [0, 0, 1, 0, 2, 0, 3, 0, 4, 0]);
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
        read_indexed(bytes).unwrap_err();
        read_number(bytes).unwrap_err();
        read_event_seq(bytes).unwrap_err();
        read_chained(bytes).unwrap_err();
        read_due(bytes).unwrap_err();
    }
    let links = (Link::from_bytes([1; 32]), Link::from_bytes([2; 32]));
    let value = chained(links.0, links.1, b"body");
    assert_eq!(value, [&[1; 32][..], &[2; 32], b"body"].concat());
    assert_eq!(read_chained(&value), Ok((links.0, links.1, &b"body"[..])));
    assert_eq!(read_first_number(&encode(&an_event()).unwrap()), Some(1));
    assert_eq!(read_first_number(&[1, 0x80]), None);
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
    let wanted = NoticeId::from_bits(0x0304);
    assert_eq!(notice(org, wanted), token(org, id));
    assert_eq!(webhook(org, WebhookId::from_bits(0x0304)), token(org, id));
    let about = About::Token(TokenId::from_bits(org.bits()), String::new());
    assert_eq!(lane(&about, UserId::from_bits(0x0304)), token(org, id));
    for (row, number) in [(Row::Mail, 0), (Row::Call, 1), (Row::Settle, 2), (Row::Forget, 3)] {
        let key = due(row, at(258), 0x0304);
        assert_eq!(key[..], [&[number, 0, 0, 0, 0, 0, 0, 1, 2][..], &id_bytes].concat());
        assert_eq!(read_due(&key), Ok(0x0304));
    }
    let key = queued(Row::Call, org.bits(), at(258), wanted);
    let instant = [0, 0, 0, 0, 0, 0, 1, 2];
    assert_eq!(key[..], [&[1][..], &org_bytes, &instant, &id_bytes].concat());
    assert_eq!(read_queued(&key), Ok((at(258), wanted)));
    read_queued(&key[..40]).unwrap_err();
    assert_eq!(beside(org, Some(0x0304)), token(org, id));
    assert_eq!(beside(org, None)[..], [org_bytes, [0; 16]].concat());
    for lane in [None, Some(0x0304)] {
        assert_eq!(read_beside(&beside(org, lane)), Ok((org, lane)));
    }
    let key = reminder(at(258), id);
    assert_eq!(key[..], [&[0, 0, 0, 0, 0, 0, 1, 2][..], &id_bytes].concat());
    assert_eq!(read_reminder(&key), Ok((at(258), id)));
    read_reminder(&key[..23]).unwrap_err();
    let names = Table::ALL.map(Table::name);
    let expected = "meta organizations users user_homes emails tokens token_homes digests owned \
                    usage usage_journal events roles creations creation_ends schedules runs flags \
                    exemptions heads checkpoints notices notice_dues notice_queues notice_lanes \
                    webhooks verdicts reminders";
    assert_eq!(names.join(" "), expected);
    assert!(Table::ALL.into_iter().enumerate().all(|(number, table)| table as usize == number));
}
