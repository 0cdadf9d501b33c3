/// The share of a class among the classes that a prediction names (LongBench's `classification_score`).
enum Classification {
    /// 1/n where the reference is one of the n classes found in the prediction, else 0.
    ///
    /// Classes inside the reference are dropped from the list while the list is walked, as the original does, so that the class after a
    /// dropped one is not looked at.
    static func score(_ prediction: PythonText, _ reference: PythonText, classes: [PythonText]) -> Double {
        var found = classes.filter { prediction.contains($0) }
        var index = 0
        while index < found.count {
            let name = found[index]
            // list.remove drops the first equal element, not the one looked at.
            if name != reference, reference.contains(name), let first = found.firstIndex(of: name) { found.remove(at: first) }
            index += 1
        }
        return found.contains(reference) ? 1 / Double(found.count) : 0
    }
}
