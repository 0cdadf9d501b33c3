import ArgumentParser

/// Throws unless the value of `option` is from `least` to `most`; nil, for an option that was not given, is accepted.
func checkRange(_ option: String, _ value: Int?, from least: Int = 1, to most: Int = .max) throws {
    guard let value, value < least || value > most else { return }
    throw ValidationError("\(option) is \(value), expected " + (most == .max ? "at least \(least)" : "\(least) to \(most)"))
}
