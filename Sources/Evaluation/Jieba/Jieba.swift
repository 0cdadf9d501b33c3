import Files
import Glibc

/// The segmentation of Chinese text into words by jieba 0.42.1 (`jieba.cut(text)`), with its dictionary and its HMM tables.
///
/// Runs of Chinese characters, ASCII letters and digits, and `+#&._%-` are cut along the dictionary's most probable words;
/// neighbouring single characters that the dictionary leaves over are joined by a hidden Markov model. Everything else is cut
/// into characters, except "\r\n", which is one word.
public struct Jieba: Sendable {
    private let dictionary: JiebaDictionary
    private let model: JiebaModel

    /// Reads `dict.txt` and `prob_start.py`, `prob_trans.py` and `prob_emit.py` from the folder of a jieba distribution, the latter
    /// three there or in its `finalseg`.
    ///
    /// - Throws: `FileError`, or ``ScoringError/file(_:line:reason:)`` where a file has another form.
    public init(folder: String) throws {
        let path = folder + "/dict.txt"
        dictionary = try JiebaDictionary(try RegularFile.contents(path, links: .followed, limit: 256 << 20), file: path)
        func table(_ name: String) throws -> PythonLiteral.Module {
            do { return try PythonLiteral.module(path: folder + "/" + name) } catch FileError.system(_, _, errno: ENOENT) {
                return try PythonLiteral.module(path: folder + "/finalseg/" + name)
            }
        }
        model = try JiebaModel(
            start: table("prob_start.py"), transitions: table("prob_trans.py"), emissions: table("prob_emit.py"))
    }

    /// The words of `text`, which together are the text.
    func words(_ text: PythonText) -> [PythonText] {
        let scalars = text.scalars
        var (words, index): ([PythonText], Int) = ([], 0)
        while index < scalars.count {
            var end = index
            while end < scalars.count, Self.isOfWord(scalars[end]) { end += 1 }
            if end > index {
                words += cut(Array(scalars[index..<end]))
            } else {
                end = scalars[index...].starts(with: ["\r", "\n"]) ? index + 2 : index + 1
                words.append(PythonText(scalars: scalars[index..<end]))
            }
            index = end
        }
        return words
    }

    /// The words of a run that the dictionary is asked about.
    private func cut(_ run: [Unicode.Scalar]) -> [PythonText] {
        var words: [PythonText] = []
        var singles: [Unicode.Scalar] = []
        func flush() {
            // Characters that together are a word stay apart: the dictionary has weighed that word and found the parts likelier.
            if singles.count == 1 || dictionary.hasWord(singles) {
                words += singles.map { PythonText(scalars: [$0]) }
            } else {
                words += model.words(singles)
            }
            singles = []
        }
        for range in dictionary.path(run) {
            if range.count == 1 {
                singles.append(run[range.lowerBound])
            } else {
                flush()
                words.append(PythonText(scalars: run[range]))
            }
        }
        flush()
        return words
    }

    static func isHan(_ scalar: Unicode.Scalar) -> Bool { (0x4E00...0x9FD5).contains(scalar.value) }

    static func isLetterOrDigit(_ scalar: Unicode.Scalar) -> Bool {
        ("a"..."z").contains(scalar) || ("A"..."Z").contains(scalar) || ("0"..."9").contains(scalar)
    }

    private static func isOfWord(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar {
        case "+", "#", "&", ".", "_", "%", "-": true
        default: isHan(scalar) || isLetterOrDigit(scalar)
        }
    }
}
