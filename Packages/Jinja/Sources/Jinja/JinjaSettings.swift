/// How white space around tags and undefined variables are treated: the parameters of jinja2's `Environment`.
public struct JinjaSettings: Sendable, Equatable {
    /// Whether the line end behind a block's tag goes (`trim_blocks`).
    public var trimsBlocks: Bool
    /// Whether white space between a line's beginning and a block's tag goes (`lstrip_blocks`).
    public var lstripsBlocks: Bool
    /// Whether a line end at the very end of the template stays (`keep_trailing_newline`).
    public var keepsTrailingNewline: Bool
    /// Whether an undefined variable is an error wherever it is printed, tested, compared or walked over (`StrictUndefined`).
    public var isStrict: Bool

    /// The settings of a template engine, each named as in Jinja's `Environment`.
    public init(trimsBlocks: Bool, lstripsBlocks: Bool, keepsTrailingNewline: Bool, isStrict: Bool) {
        (self.trimsBlocks, self.lstripsBlocks) = (trimsBlocks, lstripsBlocks)
        (self.keepsTrailingNewline, self.isStrict) = (keepsTrailingNewline, isStrict)
    }

    /// Those of `apply_chat_template` of transformers.
    public static let chat = JinjaSettings(trimsBlocks: true, lstripsBlocks: true, keepsTrailingNewline: false, isStrict: false)
}
