"""Operations: generators that yield statements, are sent rows, and know no driver."""
