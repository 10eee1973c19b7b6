#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# The scripts of sessions, what is told of connections: it stands in the
# session from the claim until it is told, and one owner at a time has it to
# tell.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use MqttTest::Source qw/ text /;
use Test::More tests => 42;

###############################################################################

my $redis = MqttTest->new->redis;
my $key = 'test:{c:a}';

# the owner ends the connection

my $one = claim('w1', 0, 'one');
is_deeply(session(), { e => $one, o => 'w1', x => 0, a => 'one' },
          'a claim');
is_deeply([ release('w1', $one, 0, 1) ], [ 2, [ $one => 'one' ] ],
          'its end is the owner\'s to tell');
is_deeply(session(), { e => $one, o => '', x => 0, "c$one" => 'w1 one' },
          'and stands in the session');
is_deeply([ release('w1', $one, 0, 1) ], [ 2, [ $one => 'one' ] ],
          'a release that is repeated');
is_deeply([ orphan('w2', 'w3') ], [ 2, [] ], 'nobody else has it');
is(done("c$one", 'w2'), 0, 'nor is it noted for anybody else');
is(done("c$one", 'w1'), 1, 'told');
is_deeply([ $redis->keys ], [], 'nothing is left');

# one that is not told

$one = claim('w1', 0, 'one');
is_deeply([ release('w1', $one, 0, 0) ], [ 2, [] ],
          'a connection that was never told');
is_deeply([ $redis->keys ], [], 'leaves nothing');

$one = claim('w1', 100, 'one');
is_deeply([ release('w1', $one, 100, 0) ], [ 1, [] ], 'of a session');
is_deeply(session(), { e => $one, o => '', x => 100 }, 'that lives on');
is($redis->command('TTL', $key), 100, 'for its time');
$redis->command('DEL', $key);

# the owner is dead, and who takes over as well

$one = claim('w1', 100, 'one');
is_deeply([ orphan('w2', 'w1') ], [ 1, [ $one => 'one' ] ],
          'the owner is dead');
is_deeply([ release('w1', $one, 100, 1) ], [ 0, [] ],
          'he has nothing to tell if he is not');
is_deeply([ orphan('w3', 'w2') ], [ 1, [ $one => 'one' ] ],
          'who takes over is dead, too');
is_deeply([ orphan('w3', 'w2') ], [ 1, [ $one => 'one' ] ],
          'asked again');
is_deeply([ orphan('w2', 'w1') ], [ 1, [] ], 'who was first has nothing');
is(done("c$one", 'w3'), 1, 'told');
is(session()->{o}, '', 'the session lives on');

# a claim finds a connection

$redis->command('DEL', $key);
$one = claim('w1', 0, 'one');
my $two = claim('w2', 0, 'two');

is_deeply(session(), { e => $two, o => 'w2', x => 0, a => 'two',
                       "c$one" => 'w1 one' },
          'a claim leaves the end of the connection before to its owner');
is_deeply([ release('w2', $two, 0, 1) ], [ 2, [ $two => 'two' ] ],
          'the next connection ends');
is_deeply([ release('w1', $one, 0, 1) ], [ 0, [ $one => 'one' ] ],
          'and then the one before');
is(done("c$two", 'w2'), 1, 'one is told');
is(session()->{"c$one"}, 'w1 one', 'the other is not');
is(done("c$one", 'w1'), 1, 'until it is');
is_deeply([ $redis->keys ], [], 'nothing is left');

# the owner before was never told to have one

$one = claim('w1', 0, 'one');
$two = claim('w2', 0, 'two');
is_deeply([ release('w1', $one, 0, 0) ], [ 0, [] ],
          'one that is not to be told');
is(session()->{"c$one"}, undef, 'is removed');
is_deeply([ release('w2', $two, 0, 0) ], [ 2, [] ], 'as the next one');
is_deeply([ $redis->keys ], [], 'nothing is left');

$one = claim('w1', 0, 'one');
$two = claim('w2', 0, 'two');
release('w2', $two, 0, 1);
done("c$two", 'w2');
release('w1', $one, 0, 0);
is_deeply([ $redis->keys ], [], 'nor the other way round');

# the claimer takes it from an owner who does not answer

$one = claim('w1', 0, 'one');
$two = claim('w2', 0, 'two', '0:m');
is_deeply([ silent('w2', 'w1') ], [ 1, [ $one => 'one' ] ],
          'the claimer tells');
is_deeply([ release('w1', $one, 0, 1) ], [ 0, [] ], 'the owner does not');
is(session()->{o}, 'w2', 'the claim stays');

claim('w1', 0, 'three');
is_deeply([ silent('w3', 'w1') ], [ 1, [] ],
          'a connection that lives is not taken');
is_deeply([ @{ session() }{qw/ o a /} ], [ 'w1', 'three' ], 'nor touched');
$redis->command('DEL', $key);

# a claim whose reply was lost is undone by the owner himself

claim('w1', 0, 'one');
is_deeply([ orphan('w1', 'w1') ], [ 2, [] ], 'nobody was told');
is_deeply([ $redis->keys ], [], 'nothing is left');

# a gateway that tells nothing, behind one that does

$one = claim('w1', 0, 'one');
claim('w2', 0);
is(session()->{a}, undef, 'nothing is to be told of the next connection');
is_deeply([ orphan('w3', 'w2', undef) ], [ 2, [] ], 'or its end');
is(session()->{"c$one"}, 'w1 one', 'that of the one before is');

###############################################################################

sub script {
    my ($name, @args) = @_;

    return $redis->command('EVAL', text("ngx_mqtt_module/redis/lua/$name.lua"),
                           $name eq 'session_done' ? (1, $key)
                                                   : (2, $key, "${key}p"),
                           @args);
}


sub claim {
    my ($owner, $expiry, $connection, $will) = @_;

    return script('claim', $owner, 0, $expiry, $will // '', 60000,
                  defined $connection ? $connection : ())->[0];
}


# what they return of state and of what is to be told

sub release {
    my ($owner, $epoch, $expiry, $told) = @_;

    return @{ script('session_end', $owner, $epoch, '', $expiry, 1,
                     $told) }[0, 4];
}


sub orphan {
    my ($owner, $dead) = @_;

    return @{ script('session_end', $owner, '', $dead, '', 1) }[0, 4];
}


sub silent {
    my ($owner, $silent) = @_;

    return @{ script('session_end', $owner, '', $silent, '', '') }[0, 4];
}


sub done    { return script('session_done', @_) }
sub session { return { @{ $redis->command('HGETALL', $key) } } }

###############################################################################
