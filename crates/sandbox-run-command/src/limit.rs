//! `MaxConcurrency` and `MaxErrors`: a number of nodes, or a percentage of the targeted ones.

/// A number of nodes, or a percentage of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limit {
    /// So many nodes.
    Count(usize),
    /// So many of a hundred nodes.
    Percent(usize),
}

/// The longest text that the API takes for a limit.
const LIMIT_CHARS_MAX: usize = 7;

impl Limit {
    /// Reads `10` or `10%`, as the pattern of the service model has it: no sign, no leading zero,
    /// at most `100%`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (digits, percent) = match text.strip_suffix('%') {
            Some(digits) => (digits, true),
            None => (text, false),
        };
        let well_formed = text.len() <= LIMIT_CHARS_MAX
            && !digits.is_empty()
            && digits.bytes().all(|byte| byte.is_ascii_digit())
            && (digits == "0" || !digits.starts_with('0'));
        let number: usize = digits.parse().ok().filter(|_| well_formed)?;
        if percent {
            (number <= 100).then_some(Self::Percent(number))
        } else {
            Some(Self::Count(number))
        }
    }

    /// Whether this limit lets nothing through.
    pub(crate) fn is_zero(self) -> bool {
        matches!(self, Self::Count(0) | Self::Percent(0))
    }

    /// How many of `targets` nodes this is; a percentage is rounded down.
    pub(crate) fn of(self, targets: usize) -> usize {
        match self {
            Self::Count(count) => count,
            Self::Percent(percent) => targets * percent / 100,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_counts_and_percentages() {
        assert_eq!(Limit::parse("50"), Some(Limit::Count(50)));
        assert_eq!(Limit::parse("0"), Some(Limit::Count(0)));
        assert_eq!(Limit::parse("10%"), Some(Limit::Percent(10)));
        assert_eq!(Limit::parse("100%"), Some(Limit::Percent(100)));
    }

    #[test]
    fn refuses_what_the_service_model_refuses() {
        for text in ["", "%", "-1", "+1", "01", "101%", "1.5", "ten", "1 ", "12345678"] {
            assert_eq!(Limit::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_percentage_is_of_the_targets_and_rounded_down() {
        assert_eq!(Limit::Percent(10).of(50), 5);
        assert_eq!(Limit::Percent(10).of(9), 0);
        assert_eq!(Limit::Count(3).of(1), 3);
    }
}
