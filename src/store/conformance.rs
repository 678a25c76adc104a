//! One suite over every implementation of the store.

use super::journal::Folding;
use super::memory::MemoryStore;
use super::redb::tests::Disk;
use super::{CommitError, Facts, Ledger};
use crate::id::{NoticeId, OrgId};
use std::sync::Arc;

mod commits;
mod failures;
pub(super) mod fixture;
mod followers;
mod model;
mod notices;
mod reads;
mod reminders;
mod requires;
mod trails;
mod validations;

/// Both sides of a store.
pub(super) trait Both: Ledger + Facts {}

impl<S: Ledger + Facts> Both for S {}

/// A store under test, how to make its next commit fail, and how to close it.
pub(super) struct Bed {
    pub(super) store: Arc<dyn Both>,
    pub(super) fail: Box<dyn Fn(&CommitError)>,
    /// Leaves bytes in the place of a notice that are none.
    pub(super) damage: Box<dyn Fn(OrgId, NoticeId)>,
    pub(super) close: Box<dyn Fn() + Sync>,
}

/// So that sweeps of the usage journal go on beside everything else.
pub(super) const FOLDING: Folding = Folding { uses: 40, runs: 3, tokens_per_part: 25 };

impl Bed {
    fn memory() -> Self {
        let store = MemoryStore::folding(FOLDING).unwrap();
        let [failing, closing, damaged] = std::array::from_fn(|_| Arc::clone(&store));
        Self {
            store,
            fail: Box::new(move |error| failing.fail_next_commit(error)),
            damage: Box::new(move |org, id| damaged.damage_notice(org, id)),
            close: Box::new(move || closing.close()),
        }
    }

    /// On bytes in memory, where a commit waits for no disk; files have tests of their own.
    fn redb() -> Self {
        let disk = Disk::default();
        let store = disk.store();
        let [closing, damaged] = std::array::from_fn(|_| Arc::clone(&store));
        Self {
            store,
            fail: Box::new(move |error| disk.fail(error)),
            damage: Box::new(move |org, id| damaged.damage_notice(org, id)),
            close: Box::new(move || closing.close()),
        }
    }
}

/// Runs tests over both implementations.
macro_rules! suite {
    ($($module:ident: $($test:ident)+;)+) => {
        mod memory {
            $(mod $module {
                $(#[test] fn $test() { super::super::$module::$test(&super::super::Bed::memory()) })+
            })+
        }
        mod redb {
            $(mod $module {
                $(#[test] fn $test() { super::super::$module::$test(&super::super::Bed::redb()) })+
            })+
        }
    };
}

suite! {
    requires:
        version_is_exact_for_every_kind_of_record
        absent_holds_until_the_record_is_there
        an_email_address_is_free_without_case_and_except_for_one
        a_digest_is_free_across_organizations
        a_creation_is_absent_until_it_is_recorded
        another_active_owner_is_active_an_owner_and_another
        no_live_tokens_means_all_are_revoked
        count_below_is_exact
        empty_holds_without_an_organization_only;
    commits:
        a_refused_change_leaves_nothing
        a_change_sees_those_before_it_in_its_group
        records_carry_the_revision_that_wrote_them
        events_are_numbered_per_organization_without_a_gap
        digests_and_addresses_are_unique_unasked
        a_record_stays_in_its_organization
        digests_and_addresses_can_be_handed_over
        a_replaced_digest_is_forgotten
        roles_get_numbers_once_and_in_order
        roles_have_a_limit
        usage_adds_up
        usage_of_many_tokens_is_read_whole_while_it_is_folded
        outlived_creations_are_forgotten;
    reads:
        what_is_not_there_is_none
        organizations_and_users_come_in_the_order_of_their_making
        tokens_are_visited_in_order_with_their_usage
        a_visit_stops_when_told
        a_visit_sees_one_state
        events_come_newest_first_in_pages
        lookup_finds_token_owner_and_organization
        lookup_follows_every_change
        a_token_without_its_owner_is_unknown
        digests_are_visited_and_counted;
    followers:
        a_bar_comes_before_the_commit_and_the_facts_before_the_answer
        only_restrictive_changes_are_barred
        a_bar_names_everything_that_is_written
        facts_tell_every_record_and_what_is_gone
        a_group_is_barred_and_applied_in_order
        a_rotated_token_is_told_by_all_of_its_secrets
        a_refused_change_is_neither_barred_nor_applied
        a_panicking_follower_closes_the_store;
    notices:
        a_change_makes_a_notice_for_each_addressee
        a_refused_or_failed_change_tells_nobody
        webhooks_are_told_of_the_kinds_they_ask_for
        what_is_due_comes_longest_overdue_first
        what_is_switched_back_and_forth_is_told_once
        a_notice_that_is_on_its_way_is_not_superseded
        a_version_of_a_notice_or_a_webhook_is_exact
        webhooks_below_is_exact
        notices_come_newest_first_and_outlived_ones_are_forgotten
        more_is_forgotten_than_is_made
        outlived_notices_are_forgotten_though_none_is_made
        a_damaged_notice_stops_neither_those_behind_it_nor_changes
        queues_come_by_addressee_and_are_left_as_told;
    failures:
        a_failed_commit_writes_nothing_and_leaves_the_bar
        a_full_disk_is_told_apart
        every_change_of_a_failed_group_is_told
        usage_fails_with_the_store
        a_sweep_fails_with_the_store
        a_closed_store_finishes_what_it_took;
    trails:
        events_are_chained_in_each_trail_by_itself
        events_are_visited_from_both_ends
        the_oldest_events_are_forgotten_and_the_rest_is_proved;
    validations:
        a_wanted_run_joins_one_that_waits_and_none_at_work
        the_next_time_is_kept_and_unknown_runs_are_passed_over
        of_finished_runs_the_oldest_goes
        flags_lie_in_parts_until_they_are_forgotten
        exemptions_are_of_their_organization
        tokens_are_read_on_after_any_of_them;
    reminders:
        a_token_has_one_reminder_as_long_as_it_is_not_revoked
        what_is_done_stays_done_in_the_same_life
        a_reminder_that_moved_meanwhile_is_passed_over
        reminders_come_longest_overdue_first_and_are_kept_through_a_time;
}

#[test]
fn queues_in_memory_say_what_the_notices_say() {
    notices::queues_say_what_the_notices_say(Bed::memory);
}

#[test]
fn queues_in_redb_say_what_the_notices_say() {
    notices::queues_say_what_the_notices_say(Bed::redb);
}

#[test]
fn memory_behaves_like_a_table_of_records() {
    model::behaves_like_a_table_of_records(Bed::memory);
}

#[test]
fn redb_behaves_like_a_table_of_records() {
    model::behaves_like_a_table_of_records(Bed::redb);
}
