use super::*;

#[test]
fn text_and_number_round_trip() {
    let time: Timestamp = "2027-01-31T12:00:00.250Z".parse().expect("RFC 3339");
    assert_eq!(time.to_string(), "2027-01-31T12:00:00.250Z");
    assert_eq!(Timestamp::from_millis(time.millis()), time);
    assert_eq!("2027-01-31T14:00:00.250+02:00".parse(), Ok(time));
}

#[test]
fn what_is_no_time_is_refused() {
    for text in ["", "yesterday", "2027-02-30T00:00:00Z", "2027-01-01", "1"] {
        assert_eq!(text.parse::<Timestamp>(), Err(NotATime), "{text}");
    }
}

#[test]
fn months_are_calendar_months() {
    let start: Timestamp = "2027-01-31T08:00:00Z".parse().expect("RFC 3339");
    assert_eq!(Ttl::new(1, Unit::Months).end(start).to_string(), "2027-02-28T08:00:00.000Z");
    assert_eq!(Ttl::new(60, Unit::Months).end(start).to_string(), "2032-01-31T08:00:00.000Z");
}

#[test]
fn extremes_are_defined() {
    assert_eq!(Timestamp::from_millis(i64::MAX), Timestamp::MAX);
    assert_eq!(Ttl::new(u32::MAX, Unit::Months).end(Timestamp::EPOCH), Timestamp::MAX);
    assert_eq!(Ttl::new(u32::MAX, Unit::Days).end(Timestamp::EPOCH), Timestamp::MAX);
    assert_eq!(Timestamp::EPOCH.since(Timestamp::MAX), Duration::ZERO);
    assert_eq!(Timestamp::from_millis(-1).seconds(), -1);
}

#[test]
fn a_day_begins_at_midnight_in_utc() {
    let day = |text: &str| Day::of(text.parse().expect("RFC 3339"));
    let first = day("2027-02-28T00:00:00Z");
    assert_eq!(first.to_string(), "2027-02-28");
    assert_eq!(first.start().to_string(), "2027-02-28T00:00:00.000Z");
    assert_eq!(day("2027-02-28T23:59:59.999Z"), first);
    assert_eq!(day("2027-02-27T23:59:59.999Z").later(1), first);
    assert_eq!(first.later(1).to_string(), "2027-03-01");
    assert_eq!("2027-02-28".parse(), Ok(first));
    assert_eq!((first.since(first.earlier(3)), first.since(first.later(3))), (3, -3));
    for text in ["", "2027-02-30", "2027-02-28T00:00:00Z", "28.2.2027"] {
        assert_eq!(text.parse::<Day>(), Err(NotADay), "{text}");
    }
    assert_eq!(day("1969-12-31T23:59:59.999Z").to_string(), "1969-12-31");
    assert_eq!(Day::of(Timestamp::MAX).to_string(), "9999-12-31");
}
