use super::*;
use crate::access::{Demand, Organizations};
use crate::audit::Event;
use crate::audit::chain::{Published, Verdict};
use crate::change::Creation;
use crate::exemption::Exemption;
use crate::id::{NoticeId, UserId, WebhookId};
use crate::notice::{Due, Notice, Webhook};
use crate::org::{Organization, Revision, User};
use crate::role::RoleTable;
use crate::store::{
    Commit, Committed, Ends, Follower, Grain, Onward, Queued, StoreError, Validations,
};
use crate::token::watch::Watch;
use crate::token::{ApiToken, Used};
use crate::validation::{Flag, Run, Schedule};
use std::ops::ControlFlow;
use std::sync::atomic::AtomicUsize;
use std::thread;

/// What holds a tally in these tests: a cache entry without the rest.
struct Held {
    token: TokenId,
    scope: RoleSet,
    tally: Tally,
    refusals: Option<Refusals>,
    denials: Denials,
}

impl Held {
    fn new(number: usize) -> Arc<Self> {
        Arc::new(Self {
            token: id(number),
            scope: (0..8).map(RoleId).collect(),
            tally: Tally::default(),
            refusals: None,
            denials: Denials::default(),
        })
    }

    /// An entry of a secret that was rotated away.
    fn former(number: usize) -> Arc<Self> {
        let refusals = Some(Refusals::default());
        Arc::new(Self {
            token: id(number),
            scope: RoleSet::empty(),
            tally: Tally::default(),
            refusals,
            denials: Denials::default(),
        })
    }
}

impl Tallied for Held {
    fn token(&self) -> TokenId {
        self.token
    }

    fn tally(&self) -> &Tally {
        &self.tally
    }

    fn org(&self) -> OrgId {
        OrgId::from_bits(self.token.bits() % 2)
    }

    fn scope(&self) -> &RoleSet {
        &self.scope
    }

    fn denials(&self) -> &Denials {
        &self.denials
    }

    fn refusals(&self) -> Option<&Refusals> {
        self.refusals.as_ref()
    }
}

fn id(number: usize) -> TokenId {
    TokenId::from_bits(number as u128)
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn used(use_count: u64, last: i64) -> Usage {
    Usage { last_used_at: Some(at(last)), use_count, ..Usage::default() }
}

/// A ledger that takes usage and nothing else.
#[derive(Default)]
struct Book {
    rows: Mutex<HashMap<TokenId, Usage>>,
    /// Rows of each transaction.
    transactions: Mutex<Vec<usize>>,
    /// How many more transactions succeed; `None` for all.
    good: Mutex<Option<usize>>,
    verdicts: Mutex<HashMap<OrgId, Verdicts>>,
    needs: Mutex<HashMap<TokenId, Vec<Arc<Need>>>>,
    watched: Mutex<Vec<Step>>,
}

impl Book {
    fn stored(&self, token: TokenId) -> Usage {
        self.rows.lock().expect("nobody panics").get(&token).copied().unwrap_or_default()
    }

    fn transactions(&self) -> Vec<usize> {
        self.transactions.lock().expect("nobody panics").clone()
    }

    fn fail_after(&self, good: Option<usize>) {
        *self.good.lock().expect("nobody panics") = good;
    }
}

impl Ledger for Book {
    fn record_usage(&self, usage: Vec<Use>) -> Commit {
        let (answer, commit) = Commit::pending();
        let mut good = self.good.lock().expect("nobody panics");
        let outcome = if *good == Some(0) {
            Err(CommitError::Busy)
        } else {
            *good = good.map(|good| good - 1);
            self.transactions.lock().expect("nobody panics").push(usage.len());
            let mut rows = self.rows.lock().expect("nobody panics");
            for used in usage {
                let row = rows.entry(used.token).or_default();
                *row = row.merged(used.usage);
                let mut needs = self.needs.lock().expect("nobody panics");
                needs.entry(used.token).or_default().extend(used.needs);
            }
            Ok(Committed { revision: Revision(1) })
        };
        answer.send(outcome).expect("the flusher waits");
        commit
    }

    fn organization(&self, _: OrgId) -> Result<Option<Organization>, StoreError> {
        unreachable!("not asked")
    }
    fn organizations(&self) -> Result<Vec<Organization>, StoreError> {
        unreachable!("not asked")
    }
    fn user(&self, _: UserId) -> Result<Option<User>, StoreError> {
        unreachable!("not asked")
    }
    fn users(&self, _: OrgId) -> Result<Vec<User>, StoreError> {
        unreachable!("not asked")
    }
    fn token(&self, _: TokenId) -> Result<Option<(ApiToken, Usage)>, StoreError> {
        unreachable!("not asked")
    }
    fn visit_tokens(
        &self,
        _: OrgId,
        _: Option<UserId>,
        _: &mut dyn FnMut(ApiToken, Usage) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        unreachable!("not asked")
    }
    fn events(&self, _: OrgId, _: Option<u64>, _: usize) -> Result<Vec<Event>, StoreError> {
        unreachable!("not asked")
    }
    fn visit_events(
        &self,
        _: OrgId,
        _: u64,
        _: &mut dyn FnMut(Event) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        unreachable!("not asked")
    }
    fn visit_events_back(
        &self,
        _: OrgId,
        _: Option<u64>,
        _: &mut dyn FnMut(Event) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        unreachable!("not asked")
    }
    fn trail(&self, _: OrgId) -> Result<Ends, StoreError> {
        unreachable!("not asked")
    }
    fn prove(&self, _: OrgId, _: Option<Published>) -> Result<Verdict, StoreError> {
        unreachable!("not asked")
    }
    fn creation(&self, _: &[u8; 32]) -> Result<Option<Creation>, StoreError> {
        unreachable!("not asked")
    }
    fn notice(&self, _: OrgId, _: NoticeId) -> Result<Option<Notice>, StoreError> {
        unreachable!("not asked")
    }
    fn visit_notices(
        &self,
        _: OrgId,
        _: Option<NoticeId>,
        _: &mut dyn FnMut(Notice) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        unreachable!("not asked")
    }
    fn visit_due_notices(
        &self,
        _: Due,
        _: Timestamp,
        _: &mut dyn FnMut(&Queued) -> Onward,
    ) -> Result<(), StoreError> {
        unreachable!("not asked")
    }
    fn has_outlived_notices(&self, _: Timestamp) -> Result<bool, StoreError> {
        unreachable!("not asked")
    }
    fn webhook(&self, _: OrgId, _: WebhookId) -> Result<Option<Webhook>, StoreError> {
        unreachable!("not asked")
    }
    fn webhooks(&self, _: OrgId) -> Result<Vec<Webhook>, StoreError> {
        unreachable!("not asked")
    }
    fn used(&self, _: OrgId, _: &[TokenId]) -> Result<Vec<Used>, StoreError> {
        unreachable!("not asked")
    }
    fn watch(&self) -> Result<Option<Watch>, StoreError> {
        unreachable!("not asked")
    }
    fn verdicts(&self, _: OrgId, _: Grain) -> Result<Vec<(Timestamp, Verdicts)>, StoreError> {
        unreachable!("not asked")
    }
    fn roles(&self) -> Arc<RoleTable> {
        unreachable!("not asked")
    }
    fn commit(&self, change: Change) -> Commit {
        let (answer, commit) = Commit::pending();
        let mut good = self.good.lock().expect("nobody panics");
        let outcome = if *good == Some(0) {
            Err(CommitError::Busy)
        } else {
            *good = good.map(|good| good - 1);
            let mut verdicts = self.verdicts.lock().expect("nobody panics");
            for write in change.writes {
                if let Write::Watch(step) = write {
                    self.watched.lock().expect("nobody panics").push(step);
                    continue;
                }
                let Write::Verdicts(org, _, more) = write else { unreachable!("no other change") };
                verdicts.entry(org).or_default().add(&more);
            }
            Ok(Committed { revision: Revision(1) })
        };
        answer.send(outcome).expect("somebody waits");
        commit
    }
    fn follow(&self, _: Arc<dyn Follower>) {
        unreachable!("not asked")
    }
    fn is_writable(&self) -> bool {
        true
    }
}

impl Validations for Book {
    fn due_reminders(
        &self,
        _: Timestamp,
        _: usize,
    ) -> Result<Vec<(Timestamp, ApiToken)>, StoreError> {
        unreachable!("not asked")
    }
    fn reminded_through(&self) -> Result<Option<Timestamp>, StoreError> {
        unreachable!("not asked")
    }
    fn schedules(&self) -> Result<Vec<Schedule>, StoreError> {
        unreachable!("not asked")
    }
    fn run(&self, _: OrgId, _: u64) -> Result<Option<Run>, StoreError> {
        unreachable!("not asked")
    }
    fn runs(&self, _: OrgId, _: Option<u64>, _: usize) -> Result<Vec<Run>, StoreError> {
        unreachable!("not asked")
    }
    fn flags(&self, _: OrgId, _: u64, _: u32) -> Result<Option<Vec<Flag>>, StoreError> {
        unreachable!("not asked")
    }
    fn segments(&self, _: OrgId, _: usize) -> Result<Vec<(u64, u32)>, StoreError> {
        unreachable!("not asked")
    }
    fn exemptions(&self, _: OrgId) -> Result<Vec<Exemption>, StoreError> {
        unreachable!("not asked")
    }
    fn tokens_after(
        &self,
        _: OrgId,
        _: Option<TokenId>,
    ) -> Result<Vec<(ApiToken, Usage)>, StoreError> {
        unreachable!("not asked")
    }
}

#[test]
fn uses_are_counted_and_the_latest_is_kept() {
    let (board, book, held) = (Board::new(2), Book::default(), Held::new(1));
    board.shard(0).touch(&held, at(5), Bit::NONE);
    board.shard(1).touch(&held, at(9), Bit::NONE);
    board.shard(0).touch(&held, at(7), Bit::NONE);
    assert_eq!(board.still().pending(id(1)), used(3, 9));
    assert_eq!(board.still().pending(id(2)), Usage::default());
    assert_eq!(board.flush(&book), Ok(1));
    assert_eq!(book.stored(id(1)), used(3, 9));
    assert_eq!(board.still().pending(id(1)), Usage::default());
    assert_eq!(board.flush(&book), Ok(0));
    assert_eq!(book.transactions(), [1], "nothing to write is not written");
}

fn one_of(numbers: &[u32]) -> Demand {
    let any_of = numbers.iter().copied().map(RoleId).collect();
    Demand { organizations: Organizations::Any, any_of, all_of: RoleSet::empty() }
}

impl Book {
    /// The roles of which one was needed, each need in the order of its coming.
    fn needed(&self, token: TokenId) -> Vec<Vec<u32>> {
        let needs = self.needs.lock().expect("nobody panics");
        let named = |need: &Arc<Need>| need.any_of.iter().map(|role| role.0).collect();
        needs.get(&token).map(|needs| needs.iter().map(named).collect()).unwrap_or_default()
    }
}

#[test]
fn what_uses_needed_is_kept_until_it_is_stored() {
    let (board, book, held) = (Board::new(2), Book::default(), Held::new(1));
    let bits = [&[1][..], &[2, 3]].map(|numbers| board.asked().bit(&one_of(numbers)));
    board.shard(0).touch(&held, at(5), bits[0]);
    board.shard(1).touch(&held, at(9), bits[0]);
    board.shard(1).touch(&held, at(7), Bit::NONE);
    let pending = |token| {
        let needs = board.pending_needs().remove(&token).unwrap_or_default();
        needs.iter().map(|(need, _)| need.any_of.len()).collect::<Vec<_>>()
    };
    assert_eq!(pending(id(1)), [1]);
    book.fail_after(Some(0));
    assert_eq!(board.flush(&book), Err(CommitError::Busy));
    assert_eq!((pending(id(1)), book.needed(id(1))), (vec![1], vec![]));
    // Another entry of the same token, and then what came back is added to.
    board.shard(0).touch(&Held::new(1), at(8), bits[1]);
    assert_eq!(pending(id(1)), [1, 2]);
    book.fail_after(None);
    assert_eq!(board.flush(&book), Ok(1));
    assert_eq!((pending(id(1)), book.needed(id(1))), (vec![], vec![vec![1], vec![2, 3]]));
    board.shard(0).touch(&held, at(9), Bit::NONE);
    board.flush(&book).expect("it is written");
    assert_eq!(book.needed(id(1)).len(), 2, "what is stored is not needed again");
    // A call of the admin port, and one that was refused there.
    Uses::touch(&board, id(2), Usage::once(at(1)));
    Uses::touch(&board, id(3), Usage { use_count: 0, ..Usage::once(at(1)).by_former_secret() });
    assert_eq!(board.pending_needs()[&id(2)][0].0.all_of.len(), 3);
    assert!(board.pending_needs().get(&id(3)).is_none_or(Vec::is_empty));
}

#[test]
fn that_all_is_stored_is_told_with_the_verdicts_or_alone() {
    let (board, book, held) = (Board::new(1), Book::default(), Held::new(1));
    let watched = || book.watched.lock().expect("nobody panics").clone();
    board.shard(0).touch(&held, at(5), Bit::NONE);
    board.flush(&book).expect("it is written");
    book.fail_after(Some(0));
    let refused = board.record_verdicts(&book, at(6), Some(at(6)));
    assert_eq!((refused, watched()), (Err(CommitError::Busy), vec![]));
    book.fail_after(Some(1));
    board.record_verdicts(&book, at(7), Some(at(7))).expect("in one transaction");
    assert_eq!(watched(), [Step::Through(at(7))]);
    book.fail_after(None);
    board.record_verdicts(&book, at(8), Some(at(8))).expect("there are no verdicts");
    board.record_verdicts(&book, at(9), None).expect("nothing is written");
    assert_eq!(watched(), [Step::Through(at(7)), Step::Through(at(8))]);
}

#[test]
fn an_evicted_or_replaced_entry_loses_nothing() {
    let (board, book) = (Board::new(1), Book::default());
    for millis in [3, 8, 5] {
        // Each time another entry of the same token, which nobody else keeps.
        board.shard(0).touch(&Held::new(1), at(millis), Bit::NONE);
    }
    assert_eq!(board.still().pending(id(1)), used(3, 8));
    assert_eq!(board.flush(&book), Ok(1));
    assert_eq!(book.stored(id(1)), used(3, 8));
}

#[test]
fn uses_without_an_entry_are_added_to_the_others() {
    let (board, book, held) = (Board::new(2), Book::default(), Held::new(1));
    board.shard(1).touch(&held, at(5), Bit::NONE);
    board.note((id(1), Usage::once(at(4))).into());
    board.note((id(2), Usage::once(at(6))).into());
    assert_eq!(board.still().pending(id(1)), used(2, 5));
    book.fail_after(Some(0));
    assert_eq!(board.flush(&book), Err(CommitError::Busy));
    board.note((id(1), Usage::once(at(9))).into());
    assert_eq!(board.still().pending(id(1)), used(3, 9), "what came back is added to as well");
    book.fail_after(None);
    assert_eq!(board.flush(&book), Ok(2));
    assert_eq!((book.stored(id(1)), book.stored(id(2))), (used(3, 9), used(1, 6)));
}

#[test]
fn what_a_former_secret_is_shown_for_is_reuse_admitted_or_not() {
    let (board, book) = (Board::new(1), Book::default());
    let (present, former) = (Held::new(1), Held::former(1));
    board.shard(0).touch(&present, at(2), Bit::NONE);
    board.shard(0).refuse(Some(&present), Reason::Superseded, || {
        unreachable!("its refusals are nobody's business")
    });
    board.shard(0).refuse(None, Reason::Superseded, || unreachable!("nobody is known"));
    board.shard(0).touch(&former, at(3), Bit::NONE);
    board.shard(0).refuse(Some(&former), Reason::Superseded, || at(7));
    board.shard(0).refuse(Some(&former), Reason::Superseded, || at(5));
    let reuse = |count, last| Reuse { count, last_at: Some(at(last)) };
    let all = Usage { reuse: reuse(3, 7), ..used(2, 3) };
    assert_eq!(board.still().pending(id(1)), all);
    book.fail_after(Some(0));
    assert_eq!(board.flush(&book), Err(CommitError::Busy));
    board.shard(0).refuse(Some(&former), Reason::Superseded, || at(9));
    book.fail_after(None);
    assert_eq!(board.flush(&book), Ok(1));
    assert_eq!(book.stored(id(1)), Usage { reuse: reuse(4, 9), ..used(2, 3) });
    // Refusals alone are written too, and once.
    board.shard(0).refuse(Some(&former), Reason::Superseded, || at(11));
    assert_eq!((board.flush(&book), board.flush(&book)), (Ok(1), Ok(0)));
    assert_eq!(book.stored(id(1)), Usage { reuse: reuse(5, 11), ..used(2, 3) });
}

/// A9: whoever shows a dead secret a million times has the disk written to once an interval.
#[test]
fn a9_a_flood_with_a_dead_secret_is_one_row_a_flush() {
    let (board, book, former) = (Board::new(2), Book::default(), Held::former(1));
    for number in 0..100_000 {
        board.shard(number).refuse(Some(&former), Reason::Superseded, || at(1));
    }
    assert_eq!(Arc::strong_count(&former), 2, "it is listed once");
    assert_eq!(board.flush(&book), Ok(1));
    assert_eq!(book.transactions(), [1]);
    assert_eq!(book.stored(id(1)).reuse.count, 100_000);
}

#[test]
fn a_flush_holds_on_to_no_entry() {
    let (board, book, held) = (Board::new(1), Book::default(), Held::new(1));
    board.shard(0).touch(&held, at(1), Bit::NONE);
    assert_eq!(Arc::strong_count(&held), 2);
    board.flush(&book).expect("it is written");
    assert_eq!(Arc::strong_count(&held), 1);
}

#[test]
fn no_transaction_has_more_rows_than_it_may() {
    let (board, book) = (Board::new(3), Book::default());
    let most = ROWS_PER_COMMIT_MAX;
    for number in 0..2 * most + 7 {
        board.shard(number).touch(&Held::new(number), at(1), Bit::NONE);
    }
    assert_eq!(board.flush(&book), Ok(2 * most + 7));
    assert_eq!(book.transactions(), [most, most, 7]);
}

#[test]
fn what_could_not_be_written_is_kept_and_nothing_is_written_twice() {
    let (board, book) = (Board::new(2), Book::default());
    let most = ROWS_PER_COMMIT_MAX;
    let all: Vec<_> = (0..2 * most + 7).map(Held::new).collect();
    let touch = |millis| {
        all.iter()
            .enumerate()
            .for_each(|(number, held)| board.shard(number).touch(held, at(millis), Bit::NONE));
    };
    touch(1);
    book.fail_after(Some(1));
    assert_eq!(board.flush(&book), Err(CommitError::Busy));
    assert_eq!(book.transactions(), [most]);
    let sum = |token| book.stored(token).merged(board.still().pending(token));
    // Each is in one place or the other; looking at every tally for each would take long.
    for number in (0..all.len()).step_by(997) {
        assert_eq!(sum(id(number)), used(1, 1));
    }
    touch(2);
    assert_eq!(board.flush(&book), Err(CommitError::Busy));
    book.fail_after(None);
    board.flush(&book).expect("it is written");
    for number in 0..all.len() {
        assert_eq!(book.stored(id(number)), used(2, 2), "{number}");
    }
    assert_eq!(board.flush(&book), Ok(0));
}

/// Workers count, a flusher flushes (and fails now and then), readers read: nothing is lost, and
/// no reading is ever more than there was or less than the one before.
#[test]
fn readings_are_exact_while_uses_move() {
    const WORKERS: usize = 3;
    const TOKENS: usize = 4;
    /// Of each worker.
    const USES: u64 = 30_000;
    let (board, book) = (Board::new(WORKERS), Book::default());
    let all: Vec<_> = (0..TOKENS).map(Held::new).collect();
    let bits = [1, 2, 3, 4].map(|number| board.asked().bit(&one_of(&[number])));
    // Counted before and after each touch, so that a reading can be held against both.
    let (begun, working) = (AtomicU64::new(0), AtomicUsize::new(WORKERS));
    thread::scope(|scope| {
        for worker in 0..WORKERS {
            let (all, begun, working, shard) = (&all, &begun, &working, board.shard(worker));
            scope.spawn(move || {
                for turn in 0..USES {
                    begun.fetch_add(1, Ordering::SeqCst);
                    let number = usize::try_from(turn).expect("a small number") % TOKENS;
                    let now = at(i64::try_from(turn).expect("a small number"));
                    shard.touch(&all[number], now, bits[number]);
                }
                working.fetch_sub(1, Ordering::SeqCst);
            });
        }
        let (board, book, working, begun) = (&board, &book, &working, &begun);
        scope.spawn(move || {
            let mut turn = 0;
            while working.load(Ordering::SeqCst) > 0 {
                book.fail_after((turn % 3 == 0).then_some(0));
                let _sometimes_busy = board.flush(book);
                turn += 1;
            }
        });
        scope.spawn(move || {
            let mut latest = 0;
            while working.load(Ordering::SeqCst) > 0 {
                let still = board.still();
                let sum = (0..TOKENS)
                    .map(|number| book.stored(id(number)).merged(still.pending(id(number))));
                let sum: u64 = sum.map(|usage| usage.use_count).sum();
                drop(still);
                assert!(sum >= latest, "{sum} after {latest}");
                assert!(sum <= begun.load(Ordering::SeqCst), "counted twice");
                latest = sum;
            }
        });
    });
    book.fail_after(None);
    board.flush(&book).expect("it is written");
    let each = USES / TOKENS as u64 * WORKERS as u64;
    for number in 0..TOKENS {
        let last = USES - TOKENS as u64 + number as u64;
        let last = i64::try_from(last).expect("a small number");
        assert_eq!(book.stored(id(number)), used(each, last), "token {number}");
        let role = u32::try_from(number).expect("a small number") + 1;
        let needed = book.needed(id(number));
        assert!(!needed.is_empty() && needed.iter().all(|roles| *roles == [role]), "{needed:?}");
    }
}

#[test]
fn verdicts_are_gathered_for_organizations_and_none_is_lost_when_the_store_fails() {
    let (board, book) = (Board::new(2), Book::default());
    let (odd, even, gone) = (Held::new(1), Held::new(2), Held::new(3));
    for _ in 0..3 {
        board.shard(0).touch(&odd, at(5), Bit::NONE);
    }
    board.shard(1).touch(&gone, at(6), Bit::NONE);
    // Whoever evicts it lets the list go on holding it.
    drop(gone);
    board.shard(0).refuse(Some(&odd), Reason::Expired, || unreachable!("not a former secret"));
    board.shard(1).refuse(Some(&odd), Reason::Expired, || unreachable!("not a former secret"));
    board.shard(1).refuse(Some(&even), Reason::InsufficientScope, || unreachable!("nor this"));
    let stored = || book.verdicts.lock().expect("nobody panics").clone();
    board.record_verdicts(&book, at(8), None).expect("there is nothing to write");
    assert!(stored().is_empty(), "the tallies were not taken yet");
    assert_eq!(board.flush(&book), Ok(2), "a refusal alone is no use");
    book.fail_after(Some(0));
    assert_eq!(board.record_verdicts(&book, at(9), None), Err(CommitError::Busy));
    book.fail_after(None);
    board.shard(0).refuse(Some(&odd), Reason::Revoked, || unreachable!("not a former secret"));
    assert_eq!(board.flush(&book), Ok(0));
    board.record_verdicts(&book, at(10), None).expect("it is written");
    board.record_verdicts(&book, at(11), None).expect("nothing is written twice");
    let stored = stored();
    let of = |org: u128| {
        let verdicts = &stored[&OrgId::from_bits(org)];
        (verdicts.permitted, verdicts.reasons().collect::<Vec<_>>())
    };
    assert_eq!(of(1), (4, vec![(Reason::Expired, 2), (Reason::Revoked, 1)]));
    assert_eq!(of(0), (0, vec![(Reason::InsufficientScope, 1)]));
}

#[test]
fn no_denial_is_lost_between_flushes() {
    const DENIALS: u64 = 20_000;
    let (board, book, held) = (Board::new(2), Book::default(), Held::new(1));
    let (board, book) = (&board, &book);
    thread::scope(|scope| {
        for worker in 0..2 {
            let (shard, held) = (board.shard(worker), Arc::clone(&held));
            scope.spawn(move || {
                for _ in 0..DENIALS {
                    shard.refuse(Some(&held), Reason::Expired, || unreachable!("not a former one"));
                }
            });
        }
        scope.spawn(move || {
            for _ in 0..2_000 {
                board.flush(book).expect("it is written");
                board.record_verdicts(book, at(1), None).expect("it is written");
            }
        });
    });
    board.flush(book).expect("it is written");
    board.record_verdicts(book, at(1), None).expect("it is written");
    let stored = book.verdicts.lock().expect("nobody panics");
    assert_eq!(stored[&OrgId::from_bits(1)].denied[Reason::Expired as usize], 2 * DENIALS);
}
