#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# The scripts of sessions against Redis, as the workers call them: what a claim
# returns and leaves behind, who may write, what an end leaves to be done, and
# what happens when a step is repeated or comes too late.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use MqttTest::Source qw/ text /;
use Test::More tests => 92 + 26;

###############################################################################

my $redis = MqttTest->new->redis;
my $key = 'test:{c:a/b}';
my @keys = ($key, "${key}p");

# claims

my ($epoch, $owner, $present, $fields, @rest) = claim('w1', 0, 100);

like($epoch, qr/^\d{16}$/, 'the epoch of a new session');
is($owner, '', 'which had no owner');
is($present, 0, 'and was not there');
is_deeply([ $fields, @rest ], [ [], [], [], '' ],
          'nothing else is known of it');

is(save($epoch, 'sx/+', 'one', 's$share/g/x', '', 'v', "\0v"), 1,
   'fields are written');
is_deeply(session(), { e => $epoch, o => 'w1', x => 100, 'sx/+' => 'one',
                       v => "\0v" }, 'and stand in the session');
is(save($epoch, 'sx/+', '', 'sg', "bytes\n"), 1, 'one is removed');

my ($state, $when, @chores) = release('w1', $epoch, 100);
is($state, 1, 'released');
is_deeply(\@chores, [ [], [] ], 'nothing is to be done now');
ok(near($when, 100), 'but in 100 seconds');
is(session()->{t}, $when, 'which the session knows');
is(save($epoch, 'sg', 'x'), 0, 'nobody writes to a session of nobody');

is_deeply([ release('w1', $epoch, 100) ], [ 1, $when, [], [] ],
          'a release that is repeated');

my ($next, @claimed) = claim('w2', 0, 50);

cmp_ok($next, '>', $epoch, 'the epoch grows');
is_deeply([ @claimed[0, 1], pairs($claimed[2]), @claimed[3 .. 5] ],
          [ '', 1, { sg => "bytes\n", v => "\0v" }, [], [], $when ],
          'the fields of a session that is resumed');
is(session()->{t}, undef, 'which does not end any more');

is(save($epoch, 'sg', 'x'), 0, 'a stale epoch writes nothing');
is((release('w1', $epoch, 0))[0], 0, 'nor does it release');
is(session()->{sg}, "bytes\n", 'nothing was changed');

# the end of a session with subscriptions: a clean start

save($next, 'sa', '1');

my ($third, $previous, @clean) = claim('w3', 1, 0);

is($previous, 'w2', 'a clean start over a session in use');
is_deeply([ $clean[0], $clean[1] ], [ 0, [] ], 'nothing of it is present');
is_deeply(pairs($clean[3]), { a => $next, g => $next },
          'its subscriptions are to be detached');
is_deeply(session(), { e => $third, o => 'w3', x => 0, ga => $next,
                       gg => $next }, 'and are not forgotten');

# who claims next has to do it, too

(undef, undef, @clean) = claim('w4', 0, 0);
is_deeply(pairs($clean[3]), { a => $next, g => $next },
          'the next one is told of them again');

my ($fifth) = claim('w5', 0, 0);

is(done('ga', $fifth), 0, 'a reader of another epoch is not noted');
is(done('ga', $next), 1, 'one is detached');
is(done('ga', $next), 0, 'once');
is_deeply([ (release('w5', $fifth, 0))[0, 3] ], [ 2, [ g => $next ] ],
          'the end of the connection tells of the other one');
is_deeply(session(), { e => $fifth, o => '', x => 0, gg => $next },
          'which keeps the session');
is(done('gg', $next), 1, 'it is detached');
is($redis->command('EXISTS', $key), 0, 'and the session goes with it');

# DISCONNECT with a session expiry of 0

($epoch) = claim('w1', 0, 100);
save($epoch, 'sa', '1', 'v', '2');

is_deeply([ release('w1', $epoch, 0) ], [ 2, '', [], [ a => $epoch ] ],
          'a session that ends with its connection after all');
is_deeply(session(), { e => $epoch, o => '', x => 0, ga => $epoch },
          'only what is to be done is left');
is((claim('w2', 0, 100))[2], 0, 'it is not present any more');

# a clean session leaves nothing, others without subscriptions a time to live

$redis->command('DEL', $key);
($epoch) = claim('w1', 1, 0);
release('w1', $epoch, 0);
is_deeply([ $redis->keys ], [], 'nothing is left of a clean session');
is((release('w1', $epoch, 0))[0], -1, 'and there is none');

($epoch) = claim('w1', 1, 0);
is_deeply([ release('w1', $epoch, 100) ], [ 1, '', [], [] ],
          'one without subscriptions');
is($redis->command('TTL', $key), 100, 'has a time to live');
claim('w1', 0, 0);
is($redis->command('TTL', $key), -1, 'until it is claimed');

# the time of a session

$redis->command('DEL', $key);
($epoch) = claim('w1', 0, 100);
save($epoch, 'sa', '1', 'v', '2');
release('w1', $epoch, 100);

is((expire('w1'))[0], 1, 'it is not over yet');
is(session()->{sa}, 1, 'nothing is changed');
$redis->command('HSET', $key, 't', int(clock() * 1000));
is_deeply([ expire('w1') ], [ 2, '', [], [ a => $epoch ] ], 'it is over');
is_deeply([ expire('w2') ], [ 2, '', [], [ a => $epoch ] ],
          'whoever asks again is told the same');
is(done('ga', $epoch), 1, 'done');
is_deeply([ expire('w2') ], [ -1, '', [], [] ], 'nothing is left');

($epoch) = claim('w1', 0, 100);
save($epoch, 'sa', '1');
release('w1', $epoch, 100);
$redis->command('HSET', $key, 't', int(clock() * 1000));
is((claim('w2', 0, 100))[2], 0, 'a claim does not find it either');
is_deeply([ expire('w1') ], [ 1, '', [], [] ],
          'a session in use has no time');

# publishes in flight at an owner that is taken over

$redis->command('DEL', $key);
($epoch) = claim('w1', 0, 100);
(undef, undef, undef, $fields) = claim('w2', 0, 100);
is_deeply(pairs($fields), { "q$epoch" => 'w1' }, 'the last owner is noted');
is(settled("q$epoch", 'w1 7'), 1, 'he tells what has become of them');

($next, undef, undef, $fields) = claim('w2', 0, 100);
is((pairs($fields))->{"q$epoch"}, 'w1 7', 'which the next one learns');
is(save($next, "q$epoch", ''), 1, 'and makes his own');
is(settled("q$epoch", 'w1 8'), 0, 'nobody wants to know any more');

claim('w2', 0, 100) for 1 .. 40;
is(scalar(grep { /^q/ } keys %{ session() }), 16, 'not for ever');

($next) = claim('w2', 1, 100);
is_deeply([ grep { /^q/ } keys %{ session() } ], [],
          'nothing of it is known to a new session');

save($next, "q$next", 'w2', 'sa', '1');
release('w2', $next, 100);
is((claim('w1', 0, 100))[1], '', 'a session that was released');
is(session()->{"q$next"}, 'w2', 'with publishes in flight');
$redis->command('HSET', $key, 'o', '', 't', int(clock() * 1000));
expire('w1');
is(session()->{"q$next"}, undef, 'ends without them');

# wills

$redis->command('DEL', $key);
($epoch) = claim('w1', 0, 100, "0:m:\0");
is(session()->{w}, "0:m:\0", 'a will');
is_deeply([ release('w1', $epoch, 0, 0) ], [ 2, '', [], [] ],
          'is discarded');
is_deeply([ $redis->keys ], [], 'and nothing is left');

($epoch) = claim('w1', 0, 0, "0:m:\0");
is_deeply([ release('w1', $epoch, 0, 1) ], [ 2, '', [ $epoch, "m:\0" ], [] ],
          'or to be published');
is_deeply([ release('w1', $epoch, 0, 1) ], [ 2, '', [ $epoch, "m:\0" ], [] ],
          'a repeated release tells the same');
is_deeply([ expire('w2') ], [ 2, '', [], [] ], 'it is nobody else\'s');
is_deeply([ orphan('w2', 'w3') ], [ 2, '', [], [] ], 'somebody is dead');
is_deeply([ orphan('w2', 'w1') ], [ 2, '', [ $epoch, "m:\0" ], [] ],
          'who was to publish it is');
is(done("p$epoch", 'w1'), 0, 'he does not');
is(done("p$epoch", 'w2'), 1, 'the other one does');
is_deeply([ $redis->keys ], [], 'and nothing is left');

# delays

for my $case ([ 20, 100, 20 ], [ 100, 20, 20 ], [ 20, -1, 20 ]) {
    my ($delay, $expiry, $due) = @$case;

    $redis->command('DEL', $key);
    ($epoch) = claim('w1', 1, $expiry, "$delay:m");
    my ($state, $when, $wills) = release('w1', $epoch, $expiry, 1);

    ok($state == 1 && near($when, $due) && !@$wills,
       "delay $delay, expiry $expiry: due in $due");
}

($epoch) = claim('w1', 1, 100, '20:m');
release('w1', $epoch, 100, 1);
$redis->command('HSET', $key, 'd', int(clock() * 1000));
($state, $when, @chores) = expire('w2');
ok(near($when, 100), 'when the delay is over the session has its time yet');
is_deeply(\@chores, [ [ $epoch, 'm' ], [] ], 'and the will is due');
is_deeply([ (claim('w3', 0, 100))[2, 4] ], [ 1, [] ],
          'a claim is not told of it');
is(done("p$epoch", 'w2'), 1, 'it is published');

# a claim, see t/will_takeover.t

($epoch) = claim('w1', 1, 100, '0:m');
is_deeply([ (claim('w2', 0, 100))[2, 4] ], [ 1, [ $epoch, 'm' ] ],
          'takeover: the claimer publishes');
is_deeply([ (claim('w2', 0, 100))[2, 4] ], [ 1, [ $epoch, 'm' ] ],
          'it is told as long as it is not done');
is((claim('w3', 0, 100))[4][0], undef, 'others are not');
$redis->command('DEL', $key);

# the owner is dead

($epoch) = claim('w1', 0, 100, '0:m');
save($epoch, 'sa', '1');
is((orphan('w2', 'w3'))[0], 1, 'somebody else is');
is(session()->{o}, 'w1', 'nothing is changed');
($state, $when, @chores) = orphan('w2', 'w1');
ok(near($when, 100), 'the session lives on');
is_deeply(\@chores, [ [ $epoch, 'm' ], [] ], 'the will is due');
cmp_ok(session()->{e}, '>', $epoch, 'the epoch grows');
is((release('w1', $epoch, 0))[0], 0, 'who is not dead after all is stale');
is((orphan('w2', 'w1'))[1], $when, 'asked again');
$redis->command('DEL', $key);

($epoch) = claim('w1', 0, 100, '0:m');
is_deeply([ (orphan('w2', 'w1', 0))[2, 3] ], [ [], [] ],
          'an end that was planned has no wills');

# what is due

my $due = 'test:{x}s';
my $now = int(clock() * 1000);

$redis->command('ZADD', $due, $now - $_ * 1000, "id-$_") for 1 .. 5;
$redis->command('ZADD', $due, $now + 50000, 'later');

my ($score, $wait, @ids) = take($due, 3, 30000);
is_deeply(\@ids, [ 'id-5', 'id-4', 'id-3' ], 'a page of what is due');
is($wait, 0, 'there is more');
(undef, $wait, @ids) = take($due, 3, 30000);
is_deeply(\@ids, [ 'id-2', 'id-1' ], 'the rest');
ok($wait > 29000 && $wait <= 30000, 'nothing before they are due again');
is_deeply([ map { due_done($due, $_->[0], $_->[1], $_->[2]) }
            [ 'id-5', $score, '' ], [ 'id-4', $score - 1, '' ],
            [ 'id-3', $score, $now + 60000 ] ], [ 1, 0, 1 ],
          'done, taken by somebody else since, due later');
is_deeply([ map { $redis->command('ZSCORE', $due, "id-$_") } 5, 4, 3 ],
          [ undef, $score, $now + 60000 ], 'and so it stands there');

###############################################################################
# the inbox of a session

$key = 'test:{c:inbox}';
@keys = ($key, "${key}p");

is_deeply([ p2p_add('a', 1) ], [ 0, '', 0 ], 'no session');
is(scalar $redis->keys("$key*"), 0, 'no inbox');

# claimed, and it ends with the connection

($epoch) = claim('w1', 0, 0);
is_deeply([ p2p_add('a', 1) ], [ 0, 'w1', 0 ], 'a session that does not last');
release('w1', $epoch, 0);
is_deeply([ p2p_add('a', 1) ], [ 0, '', 0 ], 'nor is it there any more');

# one that lives on

($epoch) = claim('w1', 0, 100);
my ($number, $by, $dropped) = p2p_add('a', 0);
cmp_ok($number, '>', $epoch, 'the first number');
is("$by $dropped", 'w1 0', 'stored while the client is connected');

is((p2p_add('b', 0))[0], $number + 1, 'the next number');
is((p2p_add('b', 0, 10, 1))[0], $number + 1, 'not twice');
is($redis->command('LLEN', $keys[1]), 2, 'two are there');

release('w1', $epoch, 1);
cmp_ok($redis->command('PTTL', $keys[1]), '<=', 1000, 'it ends with it');

is_deeply([ p2p_add('c', 0) ], [ 0, '', 0 ], 'offline, and not wanted');
is_deeply([ p2p_add('c', 1) ], [ $number + 2, '', 0 ], 'wanted');
cmp_ok($redis->command('PTTL', $keys[1]), '<=', 1000, 'no longer than it');

(undef, undef, $present, $fields) = claim('w2', 0, 100);
is_deeply($fields, [ 'n', $number - 1 . ':' . ($number + 2) ],
          'what is to be read');
cmp_ok($redis->command('PTTL', $keys[1]), '>', 50000, 'its time is its own');

# acknowledged, also by who does not own it any more, and also again

is(script('p2p_done', \@keys, $number), 1, 'one is acknowledged');
is(script('p2p_done', \@keys, $number), 0, 'again');
is($redis->command('LLEN', $keys[1]), 2, 'two are left');
is_deeply([ script('log_read', \@keys, $number, 10, 10000, 0) ],
          [ [ $number + 2, $number + 1, entry('b'), entry('c') ] ],
          'which are read');

# bounds: how many, and how old

is_deeply([ p2p_add('d', 0, 2) ], [ $number + 3, 'w2', 1 ], 'too many');
script('p2p_done', \@keys, $number + 3);
p2p_add('old', 0, 10, 0, 1);
is((p2p_add('e', 0))[2], 1, 'too old');
is_deeply($redis->command('LRANGE', $keys[1], 0, -1), [ entry('e') ],
          'the newest one is left');

# a clean start: another inbox

my ($clean_epoch) = claim('w3', 1, 100);
is($redis->command('EXISTS', $keys[1]), 0, 'a clean start has none');
my ($other) = p2p_add('f', 0);
cmp_ok($other, '>', $number + 100, 'its numbers are others');
is(script('p2p_done', \@keys, $number + 5), 0,
   'what was acknowledged of the last one is not of it');

release('w3', $clean_epoch, 0);
is(scalar $redis->keys("$key*"), 0, 'and nothing is left');

###############################################################################

sub script {
    my ($name, $keys, @args) = @_;

    return $redis->command('EVAL', text("ngx_mqtt_module/redis/lua/$name.lua"),
                           scalar @$keys, @$keys, @args);
}


sub claim {
    my ($owner, $clean, $expiry, $will) = @_;

    return @{ script('claim', \@keys, $owner, $clean, $expiry,
                     $will // '', 60000) };
}


sub release {
    my ($owner, $epoch, $expiry, $lost) = @_;

    return ended($owner, $epoch, '', $expiry, $lost // 0);
}


sub orphan {
    my ($owner, $dead, $lost) = @_;

    return ended($owner, '', $dead, '', $lost // 1);
}


# a message of now, or one that is too old

sub entry {
    my ($text, $received) = @_;

    return pack 'a16 N N', $text, $received // 0xffffffff, 0;
}


sub p2p_add {
    my ($text, $offline, $max, $repeated, $received) = @_;

    return @{ script('p2p_add', \@keys, entry($text, $received), $max // 10,
                     60000, $offline, $repeated // 0) };
}


sub expire   { return ended(@_, '', '', '', 1) }
sub save     { return script('session_save', [ $key ], @_) }
sub settled  { return script('session_settled', [ $key ], @_) }
sub done     { return script('session_done', [ $key ], @_) }
sub take     { return @{ script('due_take', [ shift ], @_) } }
sub due_done { return script('due_done', [ shift ], @_) }


# without what is to be told, see t/session_ends.t

sub ended {
    my ($state, $when, $wills, $filters, $told)
        = @{ script('session_end', \@keys, @_) };

    die "something is to be told\n" if @$told;

    return ($state, $when, $wills, $filters);
}


sub session {
    return pairs($redis->command('HGETALL', $key));
}


sub pairs {
    my ($list) = @_;

    return { @$list };
}


sub clock {
    my ($s, $us) = @{ $redis->command('TIME') };

    return $s + $us / 1e6;
}


sub near {
    my ($when, $seconds) = @_;

    my $left = $when / 1000 - clock();

    return $left > $seconds - 10 && $left <= $seconds;
}

###############################################################################
