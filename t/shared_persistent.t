#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# Shared subscriptions with persistent sessions: what comes while all members
# are away waits for the first one that comes, whatever it is, and each message
# is for one of them.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use MqttTest::Workers;
use Test::More tests => 2 * 10 + 25;

###############################################################################

my $t = MqttTest->new;

$t->write_conf(workers => 2, servers => spread_server(<<'END'));
        mqtt_send_window 4;
        mqtt_max_queued 4;
END
$t->run;

my @workers = sort { $a <=> $b } $t->worker_pids;
my $publisher = client_on($t, $workers[0]);

# the group is away: exact and wildcard filters, both versions

for my $version (4, 5) {
    my @session = session($version, "away$version");
    my $c = client_on($t, $workers[0], @session);

    $c->subscribe('$share/g/a/b' => 1, '$share/g/c/+' => 2, '$share/g/z' => 0);
    depart($t, $c);

    publish('a/b', 1, map { "a$_" } 1 .. 30);
    publish('c/x', 2, map { "c$_" } 1 .. 30);
    publish('z', 1, 'z');

    $c = client_on($t, $workers[1], @session);
    is($c->connack->{session_present}, 1, "$version: resumed");

    my %got = collect(60, c => $c);
    my @got = @{ $got{c} };

    is(join(' ', grep { /a/ } @got), join(' ', map { "a$_" } 1 .. 30),
       "$version: what came for an exact filter, in order");
    is(join(' ', grep { /c/ } @got), join(' ', map { "c$_" } 1 .. 30),
       "$version: what came for a wildcard");
    is_deeply([ sort keys %{ { map { ("$_->{topic} $_->{qos}" => 1) }
                               @{ $c->{got} } } } ],
              [ 'a/b 1', 'c/x 2' ], "$version: with its QoS");

    publish('a/b', 1, 'live');
    %got = collect(1, c => $c);
    is("@{ $got{c} }", 'live', "$version: and what comes then");

    depart($t, $c);
    publish('a/b', 2, 'late');

    $c = client_on($t, $workers[0], @session);
    %got = collect(1, c => $c);
    is("@{ $got{c} }", 'late', "$version: away once more");
    is($c->{got}[0]{qos}, 1, "$version: QoS is that of the subscription");

    # unsubscribed

    is_deeply($c->unsubscribe('$share/g/a/b')->{type}, 'UNSUBACK',
              "$version: unsubscribed");
    is(scalar $t->redis->keys('*{f:$share/g/a/b}*'), 0,
       "$version: the log has ended");
    end($c);
    ok(wait_for { !$t->redis->keys('*{f:*') }, "$version: all have ended");
}

# several members share what has waited, clean ones as well

my @kept = map { member($workers[$_ % 2], "kept$_", 's/#') } 0 .. 2;
depart($t, $_) for @kept;

publish('s/1', 1, 1 .. 100);

my $clean = client_on($t, $workers[1]);
$clean->subscribe('$share/g/s/#' => 1);
@kept = map { member($workers[$_ % 2], "kept$_") } 0, 1;

my %got = collect(100, clean => $clean, a => $kept[0], b => $kept[1]);

is_deeply([ sort { $a <=> $b } map { @$_ } values %got ], [ 1 .. 100 ],
          'several members: each message once');

publish('s/1', 1, 1 .. 12);
%got = collect(12, clean => $clean, a => $kept[0], b => $kept[1]);
is(grep({ @$_ >= 2 && @$_ <= 6 } values %got), 3,
   'several members: about as many for each of them');

is($t->redis->command('LLEN', 'test:{f:$share/g/s/#}l'), 0,
   'several members: nothing is left');
ok(wait_for { !$t->redis->keys('*{f:$share/g/s/#}[lpq]') },
   'several members: all is acknowledged');

# a clean one alone, while the persistent ones are away

depart($t, $_) for @kept;
publish('s/1', 1, 1 .. 10);
%got = collect(10, clean => $clean);
is("@{ $got{clean} }", '1 2 3 4 5 6 7 8 9 10', 'a clean one alone');
$clean->disconnect;

publish('s/2', 1, 'later');

$kept[2] = member($workers[0], 'kept2');
%got = collect(1, c => $kept[2]);
is("@{ $got{c} }", 'later', 'and then another persistent one');

# QoS 0 is not stored

depart($t, $kept[2]);
$publisher->publish('s/1', 'zero', qos => 0);
publish('s/1', 1, 'one');
$kept[2] = member($workers[1], 'kept2');
%got = collect(1, c => $kept[2]);
is("@{ $got{c} }", 'one', 'QoS 0 is not stored');

$publisher->publish('s/1', 'zero', qos => 0);
%got = collect(1, c => $kept[2]);
is("@{ $got{c} }", 'zero', 'QoS 0 live');

end($kept[2]);
end(member($workers[0], "kept$_")) for 0, 1;
ok(wait_for { !$t->redis->keys('*{f:*') }, 'the log ends with its readers');

# a member leaves with messages that it has not acknowledged

my $lazy = member($workers[0], 'lazy', 'l', 0);
my $other = member($workers[1], 'other', 'l');
depart($t, $other);

publish('l', 1, 1 .. 10);
%got = collect(4, lazy => $lazy);
is("@{ $got{lazy} }", '1 2 3 4', 'a lazy member: its window');

$lazy->send(PUBACK => packet_id => $lazy->{got}[1]{packet_id});
%got = collect(1, lazy => $lazy);
is("@{ $got{lazy} }", 5, 'a lazy member: one is acknowledged');
ok($lazy->is_alive, 'a lazy member: others wait');

$other = member($workers[1], 'other');
%got = collect(5, other => $other);
is("@{ $got{other} }", '6 7 8 9 10', 'another one gets what is left');

depart($t, $lazy);
%got = collect(4, other => $other);
is("@{ $got{other} }", '1 3 4 5', 'and what the first has left behind');

$lazy = member($workers[0], 'lazy');
%got = collect(0, lazy => $lazy);
is("@{ $got{lazy} }", '', 'it does not come again');

publish('l', 1, 1 .. 6);
%got = collect(6, lazy => $lazy, other => $other);
is(join(' ', map { scalar @$_ } values %got), '3 3', 'two workers in turn');

# QoS 2: what was sent is the session's

end($lazy);
depart($t, $other);

$lazy = member($workers[0], 'lazy', 'l', 0);
publish('l', 2, 1 .. 10);
%got = collect(4, lazy => $lazy);
is("@{ $got{lazy} }", '1 2 3 4', 'QoS 2: its window');
my @ids = map { $_->{packet_id} } @{ $lazy->{got} };
depart($t, $lazy);

$other = member($workers[1], 'other');
%got = collect(6, other => $other);
is("@{ $got{other} }", '5 6 7 8 9 10', 'QoS 2: those that were not sent');

$lazy = member($workers[1], 'lazy');
%got = collect(4, lazy => $lazy);
is("@{ $got{lazy} }", '1 2 3 4', 'QoS 2: the others again');
is(join(' ', map { "$_->{packet_id} $_->{dup}" } @{ $lazy->{got} }),
   join(' ', map { "$_ 1" } @ids), 'QoS 2: with their packet identifiers');

ok(wait_for { !$t->redis->keys('*{f:$share/g/l}[lpq]') },
   'QoS 2: all is acknowledged');

# beside an ordinary subscription of the same client

$lazy->subscribe('l' => 1);
depart($t, $_) for $lazy, $other;
publish('l', 1, 1 .. 5);

$lazy = member($workers[0], 'lazy');
%got = collect(10, lazy => $lazy);
is(join(' ', sort @{ $got{lazy} }), '1 1 2 2 3 3 4 4 5 5',
   'an ordinary subscription beside it');

# over a restart

depart($t, $lazy);
publish('l', 1, 1 .. 5);
$publisher->close;

$t->reload;
ok(wait_for { !$t->old_worker_pids }, 'reload');

@workers = sort { $a <=> $b } $t->worker_pids;
$other = member($workers[0], 'other');
%got = collect(5, other => $other);
is(join(' ', sort @{ $got{other} }), '1 2 3 4 5', 'over a restart');

end($other);
end(member($workers[0], 'lazy'));
ok(wait_for { !$t->redis->keys('*{f:*') }, 'all have ended');

###############################################################################

sub session {
    my ($version, $id) = @_;

    return (version => $version, client_id => $id, clean => 0,
            $version == 5 ? (props => [ [ session_expiry => 100 ] ]) : ());
}


# resumed, or with a filter a new one

sub member {
    my ($worker, $id, $filter, $ack) = @_;

    my $c = client_on($t, $worker, session(5, $id), auto_ack => $ack // 1);

    $c->subscribe("\$share/g/$filter" => 2) if defined $filter;

    return $c;
}


sub publish {
    my ($topic, $qos, @payloads) = @_;

    $publisher->publish_wait($topic, $_, qos => $qos) for @payloads;
}


sub end {
    my ($c) = @_;

    my $before = $t->total('subscriptions');

    if ($c->version == 5) {
        $c->disconnect(props => [ [ session_expiry => 0 ] ]);

    } else {
        my $id = $c->client_id;

        $c->disconnect;
        wait_for { $t->total('subscriptions') < $before };
        client_on($t, $workers[0], version => 4, client_id => $id,
                  clean => 1)->disconnect;
    }

    wait_for { $t->total('subscriptions') < $before } or diag('not ended');
}

###############################################################################
