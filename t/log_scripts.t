#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# The scripts of logs against Redis, as the workers call them, and against a
# model of them: a log has what some reader still needs, never less, and no
# more than that and its bounds, whatever readers do and whoever trims.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use MqttTest::Source qw/ text /;
use Test::More tests => 54;

###############################################################################

my $redis = MqttTest->new->redis;
my %source;

my $hash = 'test:{f:a/+}';
my @keys = ($hash, "${hash}l", "${hash}c");
my @group = ("${hash}p", "${hash}q");
my $serial = 0;

use constant { NOW => 1_700_000_000_000, KEPT => 3600_000 };

# one reader: cut as it acknowledges, nothing is counted

attach('one');
append() for 1 .. 5;

is_deeply(numbers(), [ 1 .. 5 ], 'one reader');
is(ack('one', 3), 1, 'acknowledges');
is_deeply(numbers(), [ 4, 5 ], 'and nothing more is kept');
is(ack('one', 5, 2), 0, 'a stale epoch');
is(ack('two', 5), 0, 'who is no reader');
attach('one', 0, 0);
is(ack('one', 5, 0), 0, 'a stale owner does not become the reader again');
is_deeply([ $redis->keys ], [ @keys[0, 1] ], 'there is nothing else');
ok(near($redis->command('PTTL', $keys[1]), KEPT),
   'the list ends with its newest message');
ack('one', 5);
is_deeply([ $redis->keys ], [ $hash ], 'an empty log is a hash');
is(append(), 6, 'numbers go on');
ack('one', 6);

# several: the slowest one counts

attach($_) for qw/ two three /;
append() for 1 .. 4;
is_deeply([ map { ack(@$_) } [ one => 10 ], [ two => 8 ] ], [ 1, 1 ],
          'two of three have moved');
is_deeply(numbers(), [ 7 .. 10 ], 'the third one needs all');
is_deeply(tally(), { 10 => 1, 8 => 1, a => 2 }, 'who is ahead is counted');
is(trim(), 0, 'nothing is to be trimmed');
is_deeply(numbers(), [ 7 .. 10 ], 'and nothing was');
is(ack('three', 9), 2, 'the third one has moved');
is(trim(), 0, 'trimmed at once');
is_deeply(numbers(), [ 9, 10 ], 'to the slowest one');
is_deeply(tally(), { 10 => 1, 9 => 1, a => 2 }, 'which is not ahead any more');
ok(near($redis->command('PTTL', $keys[2]), KEPT),
   'the tally ends as the list');

# a new one begins at the end, and holds nothing up

is_deeply((attach('new'))[3], 10, 'a new reader');
is(ack('two', 10), 2, 'the slowest one has moved');
trim();
is_deeply(numbers(), [ 10 ], 'the new one needs nothing');
is_deeply(detach('three'), [ '', 1 ], 'the slowest one leaves');
trim();
is_deeply([ $redis->keys ], [ $hash ], 'nothing is left for the others');
is_deeply([ map { detach($_)->[0] } qw/ one new / ], [ '', '' ], 'some leave');
like(detach('two')->[0], qr/^\d{16}$/, 'the last one ends the log');
is_deeply([ $redis->keys ], [], 'nothing is left');

# a late reader with a long list: in steps

attach($_) for qw/ late quick /;
append() for 1 .. 250;
ack('quick', 240);
is_deeply([ ack('late', 245), map { trim(100) } 1 .. 3 ], [ 2, 1, 1, 0 ],
          'in steps of a hundred');
is_deeply(numbers(), [ 241 .. 250 ], 'to the slowest one');
is(trim(100), 0, 'no further');

# many cursors: the next one is looked for in steps, too

attach("r$_") for 1 .. 30;
append() for 1 .. 40;
detach($_) for qw/ late quick /;
ack("r$_", 250 + $_) for 1 .. 30;
ack('r1', 275);
1 while trim(10);
is(numbers()->[0], 253, 'more cursors than a step has');

# a tally that is lost delays, and loses nothing

$redis->command('DEL', $keys[2]);
is(ack('r2', 290), 1, 'nothing is known of the others');
trim();
is(numbers()->[0], 253, 'nothing is trimmed');
ack("r$_", 290) for 1, 3 .. 29;
trim();
is(numbers()->[0], 253, 'before the last one has moved');
is(ack('r30', 289), 2, 'which it does');
1 while trim();
is_deeply(numbers(), [ 290 ], 'then it is as it was');

# bounds: those who were ahead are not any more

$redis->command('FLUSHALL');
attach($_) for qw/ away near /;
append() for 1 .. 10;
ack('near', 4);
append(max => 5);
is_deeply(numbers(), [ 7 .. 11 ], 'at most five');
is_deeply(tally(), { a => 0 }, 'nobody is ahead');
is(ack('away', 8), 1, 'one moves');
is(ack('near', 9), 2, 'and the other one');
trim();
is_deeply(numbers(), [ 9 .. 11 ], 'both are known');

append(max => 5, at => NOW + 1 + $_) for 1 .. 3;
append(at => NOW + 10, oldest => NOW + 3);
is_deeply(numbers(), [ 13 .. 15 ], 'what is too old goes with the next one');
is_deeply(page(8, oldest => NOW + 4), [ 15, 14, 2 ],
          'and is not read before');
is_deeply(page(8, oldest => NOW + 99), [ 15, 16, 0 ], 'nor if all is');

is(page(8, epoch => 2)->[0], -2, 'who is not the reader does not read');

# a list whose time is over

$redis->command('DEL', $keys[1]);
is(ack('near', 15), 1, 'an empty list');
append();
is_deeply(tally(), {}, 'a tally is that of a list');
is_deeply([ ack('away', 16), numbers() ], [ 1, [ 16 ] ],
          'one of two needs it');

# a message that is sent again

append(max => 1000) for 1 .. 300;
my $n = append();
append(at => NOW + 70000) for 1 .. 150;
is(append(again => $n), $n, 'it is found among many');
is(append(again => 9999), $n + 151, 'or was not there');

# one is left, and nobody has trimmed: it does

$redis->command('FLUSHALL');
attach($_) for qw/ slow fast /;
append() for 1 .. 4;
ack('fast', 3);
detach('slow');
is_deeply([ ack('fast', 4), tally() ], [ 1, {} ],
          'of a single reader nothing is counted');

# groups: cursors say nothing

$redis->command('FLUSHALL');
attach($_, 1) for qw/ m1 m2 /;
append() for 1 .. 3;
attach('m3', 1);
is_deeply([ (map { detach($_) } qw/ m1 m2 /), trim(), numbers() ],
          [ [ '', 0 ], [ '', 0 ], 0, [ 1 .. 3 ] ],
          'a group keeps what nobody has taken');

is(model(2000), '', 'as the model says');

###############################################################################


# Random steps; trims come late, or not at all before the next step, and
# sometimes the tally is lost.  Returns what is wrong.

sub model {
    my ($steps) = @_;

    my $seed = $ENV{TEST_SEED} // int rand 2 ** 31;
    my (%cursor, @wanted);
    my ($last, $bound, $known, $pending) = (0, 0, 1, 0);

    $redis->command('FLUSHALL');
    srand $seed;

    for my $step (1 .. $steps) {
        my $what = rand;
        my $id = 'c' . int rand($step % 400 < 200 ? 12 : 3);

        if ($what < 0.35) {
            my $max = 5 + int rand 60;

            next if !%cursor;

            $last++;
            append(max => $max) == $last
                or return "seed $seed, step $step: number";
            $bound = $last - $max if $last - $max > $bound;

        } elsif ($what < 0.7 && exists $cursor{$id}) {
            $cursor{$id} += int rand($last - $cursor{$id} + 1);
            $pending = 1 if ack($id, $cursor{$id}) == 2;

        } elsif ($what < 0.85) {
            $last = 0 if !%cursor;
            $bound = 0 if !%cursor;
            attach($id);
            $cursor{$id} //= $last;

        } elsif ($what < 0.95) {
            my ($ended, $more) = @{ detach($id) };

            delete $cursor{$id};
            $pending = 1 if $more;

        } elsif ($what < 0.96) {
            $redis->command('DEL', $keys[2]);
            $known = 0;
        }

        if ($pending && rand() < 0.5) {
            1 while trim(1 + int rand 20);
            $pending = 0;
        }

        next if !%cursor;

        my ($slowest) = sort { $a <=> $b } values %cursor;
        my $have = $redis->command('LLEN', $keys[1]);
        my $first = $last - $have;

        return "seed $seed, step $step: $first is after $slowest"
            if $first > ($slowest > $bound ? $slowest : $bound);

        # a log that is empty, or has one reader who moves, begins anew

        $known = 1 if $have == 0;

        return "seed $seed, step $step: $first is before $slowest"
            if $known && !$pending && keys %cursor > 1
               && $first < $slowest && $first > $bound
               && $what >= 0.35 && $what < 0.7;
    }

    return '';
}


sub script {
    my ($name, $keys, @args) = @_;

    $source{$name} //= text("ngx_mqtt_module/redis/lua/$name.lua");

    return $redis->command('EVAL', $source{$name}, scalar @$keys, @$keys,
                           @args);
}


sub attach {
    my ($id, $group, $epoch) = @_;

    return @{ script('log_attach', \@keys, $id, $epoch // 1, $group // 0) };
}


sub detach { return script('log_detach', [ @keys, @group ], $_[0], 1) }
sub trim   { return script('log_trim', \@keys, $_[0] // 1000) }


sub ack {
    my ($id, $cursor, $epoch) = @_;

    return script('log_ack', \@keys, $id, $epoch // 1, $cursor);
}


# payloads are numbers, so are the ids

sub append {
    my (%args) = @_;

    my $at = $args{at} // NOW;
    my $id = $args{again} // ($serial = number() + 1);

    return script('log_append', \@keys,
                  pack('a16 N N', $id, int $at / 2 ** 32, $at % 2 ** 32)
                  . "message $id",
                  $args{max} // 1000, $args{oldest} // 0, KEPT,
                  defined $args{again} ? 1 : 0);
}


sub number { return $redis->command('HGET', $hash, 'n') // 0 }
sub tally  { return { @{ $redis->command('HGETALL', $keys[2]) } } }


# last, first, how many

sub page {
    my ($cursor, %args) = @_;

    my ($last, $first, @page) = @{ script('log_read', [ @keys[0, 1] ], $cursor,
                                          100, 65536, $args{oldest} // 0,
                                          'away', $args{epoch} // 1) };

    return [ $last, $first, scalar @page ];
}


# what is in the log, which agrees with the numbers that it has

sub numbers {
    my $messages = $redis->command('LRANGE', $keys[1], 0, -1);
    my $first = number() - @$messages + 1;

    for my $i (0 .. $#$messages) {
        my ($id) = $messages->[$i] =~ /message (\d+)$/;

        return "number $id at " . ($first + $i) if $id != $first + $i;
    }

    return [ $first .. $first + $#$messages ];
}


sub near {
    my ($left, $ms) = @_;

    return $left > $ms - 60_000 && $left <= $ms;
}

###############################################################################
