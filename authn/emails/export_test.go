package emails

// PerTurn is how many requests for a reset there may be for each that is at work.
const PerTurn = perTurn
