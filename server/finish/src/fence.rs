//! The code in an answer of a model that chats.
//!
//! Such a model puts code between fences and words around it, or gives code alone.

/// The code of an answer: what is in its first fence, or all of it if it has none.
pub fn unfenced(answer: &str) -> String {
    let mut lines = answer
        .lines()
        .skip_while(|line| !line.trim_start().starts_with("```"));
    if lines.next().is_none() {
        return answer.trim_matches('\n').to_owned();
    }
    let inside = lines.take_while(|line| line.trim() != "```");
    inside.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_taken_out_of_its_fence() {
        for (answer, code) in [
            ("\nfn f() {}\n", "fn f() {}"),
            (
                "Here it is:\n```rust\nfn f() {\n}\n```\nGood luck!",
                "fn f() {\n}",
            ),
            ("```\nx = 1", "x = 1"),
            ("", ""),
        ] {
            assert_eq!(unfenced(answer), code, "{answer}");
        }
    }
}
