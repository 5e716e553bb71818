//! Why a template cannot say what it is asked to say.

use crate::Template;

/// Why there is no prompt, for a person who chose the model or the task.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A token that gives the prompt its structure is not in the vocabulary.
    #[error(
        "the model's vocabulary has no token {token}, which the prompt template `{template}` \
         needs; name the model's own template as `template` in infill.toml"
    )]
    Missing {
        /// The template that was to be used.
        template: Template,
        /// How the token is spelled.
        token: &'static str,
    },
    /// The model does not fill in code.
    #[error("this model cannot complete code ({template}): {reason}")]
    NoBlank {
        /// The model's template.
        template: Template,
        /// What it lacks.
        reason: &'static str,
    },
    /// The model does not chat.
    #[error("this model cannot chat ({template}): {reason}")]
    NoChat {
        /// The model's template.
        template: Template,
        /// What it lacks.
        reason: &'static str,
    },
    /// The model does not go on with plain text.
    #[error(
        "this model does not go on with text as it stands ({template}); ask it in a conversation"
    )]
    NoText {
        /// The model's template.
        template: Template,
    },
    /// What the model is to answer cannot be made an example.
    #[error(
        "this model cannot learn from questions and answers ({template}): its frame does not mark where an answer ends"
    )]
    NoLesson {
        /// The model's template.
        template: Template,
    },
    /// The model cannot do this task.
    #[error("this model cannot {task} ({template}): {reason}")]
    NoTask {
        /// The model's template.
        template: Template,
        /// The task, as a verb with its object.
        task: &'static str,
        /// What the model lacks.
        reason: &'static str,
    },
    /// The messages are no conversation that this model can read.
    #[error("the messages cannot be put to this model ({template}): {reason}")]
    Messages {
        /// The model's template.
        template: Template,
        /// What is wrong with them.
        reason: &'static str,
    },
    /// No template has this name.
    #[error(
        "there is no prompt template `{name}`; `template` in infill.toml may be one of {}",
        Template::ALL.map(Template::name).join(", ")
    )]
    Unknown {
        /// What was asked for.
        name: String,
    },
    /// The files do not say which template the model was trained on.
    #[error(
        "cannot tell the prompt template of this model: its architecture is `{architecture}`, \
         and {looked_for}; name one as `template` in infill.toml"
    )]
    Undetected {
        /// The architecture's name.
        architecture: String,
        /// What would have decided it.
        looked_for: &'static str,
    },
}
