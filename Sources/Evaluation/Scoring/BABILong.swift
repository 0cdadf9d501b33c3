/// BABILong (Kuratov et al. 2024): bAbI's twenty tasks in long texts, scored as its `metrics.py` does.
enum BABILong {
    private static let places = ["bathroom", "bedroom", "garden", "hallway", "kitchen", "office"]

    /// The labels among which each task's answers are, of which a prediction must name the right one alone.
    private static let labels: KeyValuePairs<String, [String]> = [
        "qa1": places, "qa2": places, "qa3": places, "qa4": places,
        "qa5": ["bill", "fred", "jeff", "mary", "apple", "football", "milk"],
        "qa6": ["no", "yes"],
        "qa7": ["none", "one", "three", "two"],
        "qa8": ["apple", "football", "milk", "nothing"],
        "qa9": ["no", "yes"],
        "qa10": ["maybe", "no", "yes"],
        "qa11": places, "qa12": places, "qa13": places,
        "qa14": ["bedroom", "cinema", "kitchen", "office", "park", "school"],
        "qa15": ["cat", "mouse", "sheep", "wolf"],
        "qa16": ["gray", "green", "white", "yellow"],
        "qa17": ["no", "yes"],
        "qa18": ["no", "yes"],
        "qa19": ["e,e", "e,n", "e,s", "n,e", "n,n", "n,w", "s,e", "s,s", "s,w", "w,n", "w,s", "w,w"],
        "qa20": ["bedroom", "bored", "garden", "hungry", "kitchen", "thirsty", "tired"],
    ]

    static let tasks = labels.map { name, labels in
        let labels = labels.map { PythonText($0) }
        return ScoringTask(
            name: "babilong:" + name, isDataset: false, referenceKey: "target", hasOneReference: true, needsQuestion: true,
            aggregate: .percent(digits: nil)
        ) { (one, _) in
            let isRight = LabelMatch.isRight(
                one.prediction, target: one.references[0], question: one.question, labels: labels)
            return ScoringTask.Score(value: isRight ? 1 : 0)
        }
    }
}
