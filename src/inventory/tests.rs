use super::*;
use proptest::prelude::*;

#[test]
fn a_column_has_one_name() {
    for column in Column::ALL {
        assert_eq!(Column::of(column.name()), Some(*column));
        assert_eq!(Column::ALL[*column as usize], *column);
    }
    assert_eq!(Column::of("Name"), None);
}

/// What both forms make of a line, read back.
fn both_ways(line: &Line<'_>) -> [Line<'static>; 2] {
    let mut csv = Vec::new();
    begin(Format::Csv, true, &mut csv);
    let header = csv.len();
    write(line, Format::Csv, true, &mut csv);
    let text = String::from_utf8(csv).expect("text");
    let read = Header::read(&text[..header]).expect("a header");
    assert!(is_whole(&text.as_bytes()[header..]));
    let from_csv = owned(&read.line(&text[header..]).expect("a record"));

    let mut json = Vec::new();
    write(line, Format::Jsonl, true, &mut json);
    let text = String::from_utf8(json).expect("text");
    assert_eq!(text.matches('\n').count(), 1, "{text}");
    [from_csv, owned(&Line::from_json(&text).expect("an object"))]
}

/// Without what is empty.
fn owned(line: &Line<'_>) -> Line<'static> {
    let mut owned = Line::default();
    for column in Column::ALL {
        if let Some(text) = line.get(*column) {
            owned = owned.with(*column, text.to_owned());
        }
    }
    owned
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(texts in proptest::collection::vec(
        prop_oneof![any::<String>(), "['=+@\t\r\n,\" -]{0,6}x?"], Column::ALL.len() - 1,
    )) {
        let mut line = Line::default();
        for (column, text) in Column::ALL.iter().zip(&texts) {
            line = line.with(*column, text.clone());
        }
        // These three are no free texts.
        line = line.with(Column::UseCount, "7").with(Column::StatusGoverned, "true");
        line = line.with(Column::Ignores, "{\"idle_ttl\":null}");
        // A record ends where its last line break is.
        line = line.with(Column::Digest, "ab");
        let expected = owned(&line);
        for read in both_ways(&line) {
            prop_assert_eq!(&read, &expected);
        }
    }
}

#[test]
fn a_spreadsheet_is_given_no_formula() {
    for evil in ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "'=1"] {
        let mut csv = Vec::new();
        write(&Line::default().with(Column::Name, evil), Format::Csv, false, &mut csv);
        let text = String::from_utf8(csv).expect("text");
        let cell = text.split(',').nth(1).expect("the name").trim_start_matches('"');
        assert!(cell.starts_with('\''), "{text}");
    }
    // A foreign file's own apostrophes stay.
    let header = Header::read("name\n").expect("a header");
    let line = header.line("'s Gravenhage\n").expect("a record");
    assert_eq!(line.get(Column::Name), Some("'s Gravenhage"));
}

#[test]
fn secrets_are_read_as_they_are_and_never_written() {
    let header = Header::read("secret,digest\r\n").expect("a header");
    let line = header.line("'=x,+ab\r\n").expect("a record");
    assert_eq!((line.get(Column::Secret), line.get(Column::Digest)), (Some("'=x"), Some("+ab")));
    for format in [Format::Csv, Format::Jsonl] {
        for digests in [false, true] {
            let mut out = Vec::new();
            begin(format, digests, &mut out);
            write(&line, format, digests, &mut out);
            let text = String::from_utf8(out).expect("text");
            assert!(!text.contains("'=x") && !text.contains("secret"), "{text}");
            assert_eq!(text.contains("+ab"), digests, "{text}");
        }
    }
}

#[test]
fn quotes_stand_where_they_can() {
    let of = |record: &str| csv::fields(record).map(|fields| fields.join("|"));
    assert_eq!(of("a,b\r\n").as_deref(), Ok("a|b"));
    assert_eq!(of("").as_deref(), Ok(""));
    assert_eq!(of("a,\n").as_deref(), Ok("a|"));
    assert_eq!(of("\"a,\"\"b\"\"\n\",\"\"\n").as_deref(), Ok("a,\"b\"\n|"));
    for broken in ["\"a", "a\"b", "\"a\"b", "\"a\"\"", "a,\"b\n"] {
        assert_eq!(of(broken), Err(BrokenLine::Quotes), "{broken}");
    }
    assert!(is_whole(b"a,\"b\"\n") && !is_whole(b"a,\"b\n"));
}

#[test]
fn headers_and_records_match() {
    let header = Header::read("\u{feff}name, owner ,secret\n").expect("a header");
    let found = header.line("a,b\n");
    assert_eq!(found, Err(BrokenLine::Fields { expected: 3, found: 2 }));
    assert_eq!(Header::read("name,nmae"), Err(BrokenHeader::Unknown(2)));
    assert_eq!(Header::read("name,name"), Err(BrokenHeader::Twice("name")));
    // A file without a header begins with what may be a secret.
    let error = Header::read("bwt_oops").expect_err("no column").to_string();
    assert!(!error.contains("oops") && error.contains("owner"), "{error}");
}

#[test]
fn json_is_strict_and_its_errors_hold_nothing_of_it() {
    let line = r#"{"scope": ["a", "b/c"], "use_count": 5, "status_governed": true, "owner": null}"#;
    let line = Line::from_json(line).expect("an object");
    assert_eq!(line.get(Column::Scope), Some("a b/c"));
    assert_eq!(line.get(Column::UseCount), Some("5"));
    assert_eq!(line.get(Column::StatusGoverned), Some("true"));
    assert_eq!(line.get(Column::Owner), None);
    for (broken, part) in [
        (r#"{"bwt_oops": 1}"#, "no name of ours"),
        (r#"{"secret": ["bwt_oops"]}"#, "`secret` is no text"),
        (r#"{"secret": "a", "secret": "bwt_oops"}"#, "`secret` is there twice"),
        (r#"{"secret": "bwt_oops""#, "EOF"),
        (r#"["bwt_oops"]"#, "object"),
        (r#""bwt_oops""#, "object"),
        (r#"{"name": "x"} bwt_oops"#, "trailing"),
        ("bwt_oops", "object"),
    ] {
        let error = Line::from_json(broken).expect_err(broken).to_string();
        assert!(error.contains(part) && !error.contains("oops"), "{broken}: {error}");
    }
}
