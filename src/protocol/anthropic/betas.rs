//! `anthropic-beta`: what a client switches on by header (2.1).

use crate::protocol::canonical::Losses;

/// How the values begin that change what an answer holds, and the name under which each is lost elsewhere. All others
/// only admit members of the request, which are looked at where they stand, or tune.
const SHAPES: [(&str, &str); 3] = [
    ("context-management-", "anthropic-beta.context-management"),
    ("compact-", "anthropic-beta.compact"),
    ("mcp-client-", "anthropic-beta.mcp-client"),
];

/// Names what of one header's values, a list with commas, an upstream of another protocol does not do.
pub fn name_lost_betas(values: &str, losses: &mut Losses) {
    for value in values.split(',').map(str::trim) {
        let known = SHAPES.iter().find(|(beginning, _)| value.starts_with(beginning));
        known.into_iter().for_each(|(_, field)| losses.drop(field));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_learns_that_its_context_will_not_be_managed_by_another_provider() {
        for (values, named) in [
            ("claude-code-20250219,interleaved-thinking-2025-05-14", ""),
            (
                "claude-code-20250219, context-management-2025-06-27 ,compact-2026-01-12",
                "drop:anthropic-beta.context-management, drop:anthropic-beta.compact",
            ),
            ("mcp-client-2025-04-04,mcp-client-2025-11-20", "drop:anthropic-beta.mcp-client"),
            ("", ""),
            (" , ,compact", ""),
        ] {
            let mut losses = Losses::default();
            name_lost_betas(values, &mut losses);
            assert_eq!(losses.header(), named, "{values}");
        }
    }
}
