import CHDF5

/// Errors of HDF5 files, as facts; `description` puts them into words.
public enum HDF5Error: Error, CustomStringConvertible, Equatable {
    /// libhdf5 could not do `action`; `reason` is the innermost message of its error stack.
    case library(file: String, action: String, reason: String)
    /// `object` is not there.
    case missing(file: String, object: String)
    /// `object` is something else than it has to be.
    case unexpected(file: String, object: String, found: String, expected: String)

    /// The sentence for the user, the file first; libhdf5's own reason where a call of it failed.
    public var description: String {
        switch self {
        case .library(let file, let action, let reason): "\(file): cannot \(action): \(reason)"
        case .missing(let file, let object): "\(file): '\(object)' is missing"
        case .unexpected(let file, let object, let found, let expected):
            "\(file): '\(object)' is \(found), expected \(expected)"
        }
    }
}

extension HDF5Error {
    /// The error for a call that just failed, from this thread's error stack.
    static func library(_ file: String, _ action: String) -> HDF5Error {
        .library(file: file, action: action, reason: reason())
    }

    private final class Messages {
        var texts: [String] = []
    }

    private static func reason() -> String {
        let messages = Messages()
        withExtendedLifetime(messages) {
            let context = unsafe Unmanaged.passUnretained(messages).toOpaque()
            unsafe H5Ewalk2(
                kvlab_H5E_DEFAULT(), H5E_WALK_UPWARD,
                { _, entry, context in
                    guard let entry = unsafe entry, let context = unsafe context,
                        let text = unsafe entry.pointee.desc
                    else { return 0 }
                    unsafe Unmanaged<Messages>.fromOpaque(context).takeUnretainedValue().texts.append(String(cString: text))
                    return 0
                }, context)
        }
        // Upward means innermost first. Where a system call failed, its message is what a user can act on:
        // "file write failed: time = …, errno = 28, error message = 'No space left on device', buf = …".
        for text in messages.texts {
            let parts = text.split(separator: "'", omittingEmptySubsequences: false)
            if let index = parts.firstIndex(where: { $0.hasSuffix("error message = ") }), index + 1 < parts.count {
                return String(parts[index + 1])
            }
        }
        return messages.texts.first ?? "no reason given"
    }
}
