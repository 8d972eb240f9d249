/*
 * Parcels of an outbox: what its reader may conclude from one pass over the ring, whose loads are in no order.
 *     writer:   words of a parcel; blank behind it, if it is small; stamp; more blank
 *     reader:   one call: stamps and words, in any order | takes what is on blank; the rest by a second call
 * A ring of four places, of two words each, the first word of a parcel its stamp; parcels of one to three places. One of
 * two, or less, may be on blank: then the two places from its beginning on were blank. Stores are seen in order. That
 * they are seen late needs no buffer: it makes a slow writer, and it is late anyway to learn how far the reader has come.
 * Shown: all parcels come, in order; no word that is taken is older than its parcel, or half of one.
 */
#ifndef RULE_BEFORE
#define RULE_BEFORE 1 /* writer: what is behind a parcel is blank before the parcel's stamp */
#endif
#ifndef RULE_TRUE
#define RULE_TRUE 1 /* ... and a stamp says "on blank" only if that was so */
#endif
#ifndef RULE_FAR
#define RULE_FAR 1 /* ... of both places, not just of the parcel's own */
#endif
#ifndef RULE_WHOLE
#define RULE_WHOLE 1 /* ... and the parcel is stored in whole words */
#endif
#ifndef RULE_ROOM
#define RULE_ROOM 1 /* nothing is made blank that may be unread */
#endif
#ifndef RULE_AGAIN
#define RULE_AGAIN 1 /* reader: a parcel that is not on blank is read by a second call */
#endif
#ifndef RULE_EACH
#define RULE_EACH 1 /* ... also one behind another that is */
#endif
#ifndef RULE_LOOK
#define RULE_LOOK 1 /* ... and so is one with a word that is blank */
#endif

#define PLACES 4
#define WORDS 8   /* of the ring, two a place */
#define SMALL 2   /* places of a parcel on blank, at the most */
#define LAST 7    /* no parcel begins here or behind: in the second lap */
#define OLD 0     /* a word: whatever lay there first; */
#define BLANK 1
#define HALF 2    /* half of it is old */
#define STAMP(place) (100 + 2 * (place)) /* on blank: one more */
#define WORD(size, number) (16 * (size) + (number))

byte ring[WORDS], head, total; /* head: of the reader, in places */
bool news, all;                /* news: something was stored since the last look; all: no parcel is to come */

inline store(word, value) { ring[(word) % WORDS] = value; news = true }

inline make_blank(places) {
	end = (tail + places < known + PLACES || !RULE_ROOM -> tail + places : known + PLACES);
	if :: blank < tail -> blank = tail :: else fi;
	do
	:: atomic { blank < end -> store(2 * blank, BLANK) }; atomic { store(2 * blank + 1, BLANK); blank++ }
	:: else -> end = 0; break
	od
}

inline lay(value) {
	i = 2 * size - 1;
	do
	:: atomic { i > 0 -> store(2 * tail + i, value); i-- }
	:: else -> break
	od
}

active proctype writer()
{
	byte tail, blank, known, number, size, i, end;
	bool blanks;
	do
	:: atomic { known < head -> known = head }
	:: atomic { tail < LAST && tail + 1 - known <= PLACES ->
		if
		:: size = 1
		:: tail + 2 - known <= PLACES -> size = 2
		:: tail + 3 - known <= PLACES -> size = 3
		fi; number++;
		blanks = (size <= SMALL && (!RULE_TRUE || blank >= tail + (RULE_FAR -> SMALL : size))) };
		if :: size > SMALL || !RULE_WHOLE -> lay(HALF) :: else fi;
		lay(WORD(size, number));
		tail = tail + size;
		if :: size <= SMALL && RULE_BEFORE -> make_blank(SMALL) :: else fi;
		atomic { store(2 * (tail - size), STAMP(tail - size) + (blanks -> 1 : 0)) };
		if :: size <= SMALL -> make_blank(2 * SMALL) :: else fi;
		size = 0; blanks = false
	:: atomic { tail >= LAST -> total = number; all = true; break }
	od
}

inline load(word) {
	atomic { (left >> word) & 1 -> got[word] = ring[(2 * head + word) % WORDS]; left = left & ~(1 << word) }
}

/* Words of the parcel at `from` that are before `end`: none may be another's. */
inline take(end) {
	assert(size > 0); /* else: -EPROTO */
	i = from + 1;
	do
	:: i < end && i < from + 2 * size -> assert(got[i] == WORD(size, number + 1)); i++
	:: else -> break
	od; i = 0
}

inline taken() { number++; head = head + size }

active proctype reader()
{
	byte got[6], left, from, size, number, i;
	bool again, whole;
	do
	:: all && number == total -> break
	:: atomic { news -> news = false };
		left = 15;
		do
		:: load(0)
		:: load(1)
		:: load(2)
		:: load(3)
		:: left == 0 -> break
		od;
		atomic {
			do
			:: from == 2 * SMALL -> break
			:: from < 2 * SMALL && got[from] != STAMP(head) && got[from] != STAMP(head) + 1 -> break
			:: else ->
				size = got[from + 1] / 16; /* a length: it is to be no older than the stamp */
				i = from + 1; whole = true;
				do
				:: i < 2 * SMALL && i < from + 2 * size -> whole = whole && got[i] != BLANK; i++
				:: else -> break
				od; i = 0;
				whole = (whole && got[from + 1] != BLANK) || !RULE_LOOK;
				if
				:: whole && (got[from] == STAMP(head) + 1 || (from == 0 && !RULE_AGAIN) || (from > 0 && !RULE_EACH)) ->
					take(2 * SMALL);
					if
					:: from + 2 * size > 2 * SMALL -> again = true; break /* the rest */
					:: else -> taken(); from = from + 2 * size
					fi
				:: else -> again = true; break
				fi
			od;
			if :: from > 0 || again -> news = true :: else fi; from = 0; size = 0; whole = false;
			for (i : 0 .. 5) { got[i] = 0 } i = 0
		};
		if
		:: again -> /* what it finds is not stored any more: so that its loads are in no order needs no showing */
			atomic { for (i : 0 .. 5) { got[i] = ring[(2 * head + i) % WORDS] }
				size = got[1] / 16; take(6); taken(); again = false; size = 0;
				for (i : 0 .. 5) { got[i] = 0 } i = 0 }
		:: else
		fi
	od
}
