//! Lists of commands, read page by page.

use std::collections::{BTreeSet, VecDeque};

use jiff::Timestamp;

use crate::id::CommandId;
use crate::ports::{CommandListing, PageToken, Stage};
use crate::scope::Documents;

/// What a list is read for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum List {
    /// Executing commands.
    Executing,
    /// Completed commands that were requested lately.
    Lately,
    /// Completed commands of the whole lookback.
    Lookback,
}

impl List {
    pub(super) fn stage(self) -> Stage {
        match self {
            Self::Executing => Stage::Executing,
            Self::Lately | Self::Lookback => Stage::Complete,
        }
    }
}

/// The lists that together tell the commands of a stage.
#[derive(Debug)]
pub(super) struct Listings {
    pub(super) left: VecDeque<CommandListing>,
    /// How many lists by document there would be.
    by_document: usize,
    is_by_document: bool,
}

impl Listings {
    pub(super) fn new(
        documents: &Documents,
        stage: Stage,
        invoked_after: Option<Timestamp>,
        is_by_document: bool,
    ) -> Self {
        let listing = |document_name| CommandListing { document_name, stage, invoked_after };
        let spellings = || documents.spellings().map(Some).map(listing);
        let by_document = spellings().count();
        // Without documents there is nothing to list.
        let left = if is_by_document || by_document == 0 {
            spellings().collect()
        } else {
            [listing(None)].into()
        };
        Self { left, by_document, is_by_document }
    }
}

/// Lists that are read page by page, over several sweeps if need be.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) began: Timestamp,
    listings: Listings,
    page: Option<PageToken>,
    pages: usize,
    ours: usize,
    all: usize,
    /// Executing commands that were looked at, and whose task may wait.
    pub(super) waited_for: BTreeSet<CommandId>,
    /// Executing commands that were looked at, and whose task is closed.
    pub(super) abandoned: BTreeSet<CommandId>,
    /// Whether a command of it could not be remembered.
    pub(super) has_left_out: bool,
    /// Whether a page of it failed, so that it went on after a pause.
    pub(super) has_failed: bool,
}

impl Reading {
    pub(super) fn new(began: Timestamp, listings: Listings) -> Self {
        Self {
            began,
            listings,
            page: None,
            pages: 0,
            ours: 0,
            all: 0,
            waited_for: BTreeSet::new(),
            abandoned: BTreeSet::new(),
            has_left_out: false,
            has_failed: false,
        }
    }

    /// Whether this executing command was looked at: lists move while they are read, and can tell
    /// a command twice.
    pub(super) fn has_told(&self, id: &CommandId) -> bool {
        self.waited_for.contains(id) || self.abandoned.contains(id)
    }

    /// The next page to read; `None` at the end.
    pub(super) fn next(&self) -> Option<(&CommandListing, Option<&PageToken>)> {
        Some((self.listings.left.front()?, self.page.as_ref()))
    }

    /// How many pages were read.
    pub(super) fn pages(&self) -> usize {
        self.pages
    }

    /// A page was read that held so many commands, so many of them ours. True if it is mostly
    /// others' that are read here, and lists by document would be shorter.
    pub(super) fn advance(&mut self, next: Option<PageToken>, ours: usize, all: usize) -> bool {
        self.pages += 1;
        self.ours += ours;
        self.all += all;
        self.page = next;
        if self.page.is_none() {
            self.listings.left.pop_front();
        }
        self.page.is_some()
            && !self.listings.is_by_document
            && self.pages >= self.listings.by_document
            && self.ours * 2 < self.all
    }

    /// Begins anew, with other lists. What was read is read.
    pub(super) fn restart(&mut self, listings: Listings) {
        self.listings = listings;
        self.page = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listings(is_by_document: bool) -> Listings {
        let names = vec!["One".to_owned(), "Other".to_owned()];
        let documents = Documents::new(names, Some("arn:aws:".to_owned()));
        Listings::new(&documents, Stage::Executing, None, is_by_document)
    }

    fn reading(is_by_document: bool) -> Reading {
        Reading::new(Timestamp::UNIX_EPOCH, listings(is_by_document))
    }

    #[test]
    fn without_documents_there_is_no_list() {
        for is_by_document in [false, true] {
            let nothing = Documents::default();
            let listings = Listings::new(&nothing, Stage::Executing, None, is_by_document);
            assert!(listings.left.is_empty());
        }
    }

    #[test]
    fn a_reading_goes_through_all_pages_of_all_lists() {
        let page = |number: u32| Some(PageToken(number.to_string()));
        let mut reading = reading(true);
        let mut read = Vec::new();
        for next in [page(1), None, None, page(1), page(2), None, None] {
            let (listing, page) = reading.next().unwrap();
            let page = page.map_or("first", |PageToken(token)| token).to_owned();
            read.push(format!("{} {page}", listing.document_name.as_deref().unwrap()));
            assert!(!reading.advance(next, 0, 50), "lists by document are what there is");
        }
        assert!(reading.next().is_none());
        assert_eq!(reading.pages(), 7);
        let expected = [
            "One first",
            "One 1",
            "arn:aws:One first",
            "Other first",
            "Other 1",
            "Other 2",
            "arn:aws:Other first",
        ];
        assert_eq!(read, expected);
    }

    #[test]
    fn lists_by_document_are_shorter_where_most_of_as_many_pages_are_others() {
        // Four lists by document.
        for (ours, expected) in [(0, true), (24, true), (25, false), (50, false)] {
            let mut reading = reading(false);
            let next = || Some(PageToken("next".to_owned()));
            for _ in 0..3 {
                assert!(!reading.advance(next(), ours, 50));
            }
            assert_eq!(reading.advance(next(), ours, 50), expected, "{ours} of 50");
        }
        // The last page needs no other list.
        let mut reading = reading(false);
        for _ in 0..3 {
            reading.advance(Some(PageToken("next".to_owned())), 0, 50);
        }
        assert!(!reading.advance(None, 0, 50));
        assert!(reading.next().is_none());
    }
}
