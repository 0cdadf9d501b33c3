/// The F1 score of two texts' words, as SQuAD and LongBench compute it (Bai et al. 2023, `qa_f1_score` and `qa_f1_zh_score`).
enum WordF1 {
    /// The F1 of words after normalization: lower case, no ASCII punctuation, no articles, split at white space.
    static func score(_ prediction: PythonText, _ reference: PythonText) -> Double {
        score(words: normalizedWords(prediction), normalizedWords(reference))
    }

    /// The F1 of jieba's words, each lower-cased and stripped of white space and of ASCII and Chinese punctuation.
    static func chineseScore(_ prediction: PythonText, _ reference: PythonText, jieba: Jieba) -> Double {
        func words(_ text: PythonText) -> [PythonText] {
            jieba.words(text).map { word in
                PythonText(
                    scalars: word.lowercased.scalars.filter {
                        !PythonText.isASCIIPunctuation($0) && !chinesePunctuation.contains($0) && !PythonText.isSpace($0)
                    })
            }.filter { $0.count > 0 }
        }
        return score(words: words(prediction), words(reference))
    }

    /// 2PR/(P + R) over the multisets' intersection; 0 where they share nothing, two empty ones included.
    private static func score(words: [PythonText], _ references: [PythonText]) -> Double {
        var left = Dictionary(references.map { ($0, 1) }, uniquingKeysWith: +)
        var shared = 0
        for word in words {
            guard let count = left[word], count > 0 else { continue }
            left[word] = count - 1
            shared += 1
        }
        guard shared > 0 else { return 0 }
        let (precision, recall) = (Double(shared) / Double(words.count), Double(shared) / Double(references.count))
        return (2 * precision * recall) / (precision + recall)
    }

    private static func normalizedWords(_ text: PythonText) -> [PythonText] {
        let plain = text.lowercased.scalars.filter { !PythonText.isASCIIPunctuation($0) }
        // \b(a|an|the)\b becomes a space: a run of word characters that is one of them, which no regular expression needs to find.
        var result: [Unicode.Scalar] = []
        var index = 0
        while index < plain.count {
            guard PythonText.isWordScalar(plain[index]) else {
                result.append(plain[index])
                index += 1
                continue
            }
            let end = plain[index...].firstIndex { !PythonText.isWordScalar($0) } ?? plain.count
            let run = plain[index..<end]
            result += articles.contains { $0.elementsEqual(run) } ? [" "] : run
            index = end
        }
        return PythonText(scalars: result).words
    }

    private static let articles: [[Unicode.Scalar]] = [["a"], ["a", "n"], ["t", "h", "e"]]

    /// The Chinese punctuation that LongBench's `normalize_zh_answer` removes.
    private static let chinesePunctuation = Set(
        "！？｡。＂＃＄％＆＇（）＊＋，－／：；＜＝＞＠［＼］＾＿｀｛｜｝～｟｠｢｣､、〃》「」『』【】〔〕〖〗〘〙〚〛〜〝〞〟〰〾〿–—‘’‛“”„‟…‧﹏.".unicodeScalars)
}
