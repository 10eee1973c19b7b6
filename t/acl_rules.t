#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# The rules of "acl": placeholders, subjects, verbs, the order; refusals in
# every version; and random rules against a program that tries all names.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use MqttTest::Auth qw/ reason /;
use Test::More;

###############################################################################

my $t = MqttTest->new;

$t->write_file('rules', <<'END');
# verbs and placeholders

deny   subscribe          fleet/secret/#
allow  publish            fleet/%c/up
allow  publish,subscribe  users/%u/#
allow  subscribe          group/%g/#
allow  all                mixed/%g-%u/%%
allow  p2p                command/p2p/%c
allow  p2p                +/p2p/server
allow  publish            command/#
allow  subscribe          fleet/#
deny   all                spaces in a level/x
allow  all                spaces in a level/+

# subjects

allow  publish   user=alice       only/alice
allow  publish   client=GID@@@2   only/2
deny   publish   group=OTHER      open/#
allow  publish                    open/#
allow  subscribe                  $special/#
END

my @rules = random_rules(80);

$t->write_file('random', join '', map { "@$_\n" } @rules);
$t->write_file('names', "allow all user=bob #\n");
$t->write_file('all', "deny all \$SYS/#\nallow all #\n");

$t->write_conf(gateway => "auth password %%TESTDIR%%/users;\n"
                          . 'auth anonymous; acl %%TESTDIR%%/rules;',
               stream => gateway('random') . gateway('all')
                         . gateway('names'));
$t->write_file('users', "alice:{PLAIN}x\n+:{PLAIN}x\n");
$t->run;

###############################################################################

my @alice = (client_id => 'GID@@@1@@@x', username => 'alice',
             password => 'x');

my @publishes = (
    'fleet/GID@@@1@@@x/up' => 1, 'fleet/GID@@@1/up' => 0, 'fleet/x/up' => 0,
    'fleet/%c/up' => 0, 'users/alice' => 1, 'users/alice/a/b' => 1,
    'users/bob/a' => 0, 'users' => 0, 'mixed/GID-alice/%' => 1,
    'mixed/GID-alice/%%' => 0, 'mixed/GID-alicex/%' => 0,
    'mixed/GID-alic/%' => 0, 'only/alice' => 1, 'only/2' => 0,
    'open/x' => 1, 'nothing' => 0, 'Users/alice' => 0, '/users/alice' => 0,

    # P2P is a verb of its own

    'command/p2p/GID@@@1@@@x' => 1, 'command/p2p/other' => 0,
    'x/p2p/server' => 1, 'x/p2p/server/more' => 0, 'command/p2p' => 1,
    'command/p2p/' => 1, 'command/a/p2p/x' => 1, 'fleet/p2p/x' => 0,
    'spaces in a level/y' => 1, 'spaces in a level/x' => 0,
);

my $c = $t->client(@alice);

while (my ($topic, $allowed) = splice @publishes, 0, 2) {
    my $ack = $c->publish_wait($topic, 'x', qos => 1) // {};

    is($ack->{reason}, $allowed ? 0x10 : 0x87, "publish to $topic");
}

my @subscribes = (
    'fleet/#' => 0, 'fleet/+' => 0, 'fleet/a' => 1, 'fleet/+/x' => 0,
    'fleet/secret' => 0, 'fleet/secret/x' => 0, 'fleet/public/#' => 1,
    'fleet' => 1, '#' => 0, '+/a' => 0, '+/+' => 0, 'users/alice/#' => 1,
    'users/+/#' => 0, 'users/#' => 0, 'users/bob' => 0, 'group/GID/+' => 1,
    'group/GID@@@1/+' => 0, 'group/+' => 0, '$share/a/group/GID/#' => 1,
    '$share/a/#' => 0, '$share/a/fleet/#' => 0, '$special/a' => 1,
    '$special/#' => 1, '$other' => 0, '+/p2p/server' => 0, 'open/a' => 0,
);

while (my ($filter, $allowed) = splice @subscribes, 0, 2) {
    my $ack = $c->subscribe($filter => 0) // {};

    is(($ack->{codes} // [])->[0], $allowed ? 0 : 0x87,
       "subscribe to $filter");
}

$c->disconnect;

# subjects and placeholders of others

$c = $t->client(client_id => 'GID@@@2');

for my $case ([ 'only/2', 0x10 ], [ 'only/alice', 0x87 ],
              [ 'users/x', 0x87 ], [ 'users/', 0x87 ]) {
    is($c->publish_wait($case->[0], 'x', qos => 1)->{reason}, $case->[1],
       "another client: $case->[0]");
}

is_deeply($c->subscribe('users/#' => 0, 'users/+' => 0, 'users//#' => 0)
           ->{codes}, [ 0x87, 0x87, 0x87 ], 'no user name: nothing of %u');
$c->disconnect;

$c = $t->client(client_id => 'x', username => 'bob');
is_deeply([ $c->subscribe('users/bob' => 0)->{codes}[0],
            $c->publish_wait('users/bob', 'x', qos => 1)->{reason} ],
          [ 0x87, 0x87 ], 'a user name that anonymous sends counts nothing');
$c->disconnect;

$c = $t->client(port => 'names', client_id => 'x', username => 'bob');
is($c->publish_wait('only/bob', 'x', qos => 1)->{reason}, 0x87,
   'nor for a rule of that user');
$c->disconnect;

$c = $t->client(client_id => 'OTHER@@@2');
is($c->publish_wait('open/x', 'x', qos => 1)->{reason}, 0x87,
   'a rule for a group');
$c->disconnect;

# ids and names that look like wildcards and levels

for my $id ('+', '#', 'a/b', '+@@@x', '#@@@x', '%c', '$x') {
    my @user = $id eq '+' ? (username => '+', password => 'x') : ();

    $c = $t->client(client_id => $id, @user);

    is_deeply($c->subscribe('group/+/#' => 0, 'group/#' => 0,
                            'users/+/#' => 0, 'users/#' => 0)->{codes},
              [ (0x87) x 4 ], "client id $id: is no wildcard");
    is($c->publish_wait('fleet/a/b/up', 'x', qos => 1)->{reason}, 0x87,
       'and no two levels');
    $c->disconnect;
}

###############################################################################
# how it is refused

for my $version (3, 4) {
    for my $qos (0 .. 2) {
        $c = $t->client(version => $version);
        $c->publish('nothing', 'x', qos => $qos);
        $c->expect_close("$version: QoS $qos closes");
    }

    $c = $t->client(version => $version);
    is_deeply($c->subscribe('nothing' => 1)->{codes}, [ 0x80 ],
              "$version: 0x80");
    $c->expect_alive("$version: goes on");
}

my $listener = $t->client(port => 'all');
my $denied = $t->total('publishes_denied');

$c = $t->client;
$c->publish('nothing', 'x', qos => 0);
$c->expect_alive('5.0: QoS 0 is dropped');
is($t->total('publishes_denied'), $denied + 1, 'and counted');
ok($t->wait_log(qr/may not publish to "nothing".*client id/), 'and logged');

# in order behind and before others, and the id of QoS 2 is free again

$c->queue(PUBLISH => topic => $_->[0], qos => $_->[1], payload => 'x',
          packet_id => $_->[2])
    for [ 'open/1', 1, 1 ], [ 'nothing', 1, 2 ], [ 'nothing', 2, 3 ],
        [ 'open/1', 2, 3 ], [ 'nothing', 1, 4 ];
$c->flush;

$c->expect(PUBACK => packet_id => 1, reason => 0x10);
$c->expect(PUBACK => packet_id => 2, reason => 0x87);
$c->expect(PUBREC => packet_id => 3, reason => 0x87);
$c->expect(PUBREC => packet_id => 3, reason => 0x10);
$c->expect(PUBACK => packet_id => 4, reason => 0x87);

# by an alias, too

$c->publish('open/2', 'x', qos => 1, props => [ [ topic_alias => 1 ] ],
            packet_id => 5);
$c->expect(PUBACK => packet_id => 5, reason => 0x10);
$c->publish('nothing', 'x', qos => 1, props => [ [ topic_alias => 1 ] ],
            packet_id => 6);
$c->expect(PUBACK => packet_id => 6, reason => 0x87);
$c->publish('', 'x', qos => 1, props => [ [ topic_alias => 1 ] ],
            packet_id => 7);
$c->expect(PUBACK => packet_id => 7, reason => 0x87);
$c->disconnect;

is(reason($t, 'mqtt', will => { topic => 'nothing', payload => 'x' }), 0x87,
   'a will');

###############################################################################
# "#" is everything but what begins with "$"

$c = $t->client(port => 'all');
is_deeply($c->subscribe('#' => 0, '+/a' => 0, '$SYS/a' => 0, '$SYS/#' => 0,
                        '$SYS' => 0, '$x/#' => 0)->{codes},
          [ 0, 0, 0x87, 0x87, 0x87, 0x87 ], 'a denied "$" is no part of "#"');
$c->disconnect;

###############################################################################
# random rules

my @names = names();
my @filters = filters();
my (%first, @wrong);

for my $filter (@filters) {
    $first{$filter} = { map { $_ => 1 } grep { matches($filter, $_) }
                                        @names };
}

$c = $t->client(port => 'random', client_id => 'a');

for my $name (@names) {
    my $rule = (grep { $_->[1] =~ /publish|all/ && matches($_->[2], $name) }
                @rules)[0];
    my $expected = $rule && $rule->[0] eq 'allow' ? 0x10 : 0x87;
    my $got = $c->publish_wait($name, 'x', qos => 1)->{reason};

    push @wrong, "$name: $got" if $got != $expected;
}

is("@wrong", '', 'publish: as the first rule says, ' . @names . ' names');

@wrong = ();
my $allowed = 0;

for my $filter (@filters) {
    my $expected = 0x87;

    for my $rule (@rules) {
        next if $rule->[1] !~ /subscribe|all/;

        my @part = grep { matches($rule->[2], $_) } keys %{ $first{$filter} };

        if ($rule->[0] eq 'allow') {
            next if @part != keys %{ $first{$filter} };
            $expected = 0;
            last;
        }

        last if @part;
    }

    my $got = $c->subscribe($filter => 0)->{codes}[0];

    push @wrong, "$filter: $got" if $got != $expected;
    $allowed++ if $expected == 0;

    $c->unsubscribe($filter) if $got == 0;
}

is("@wrong", '', 'subscribe: as all the names say, ' . @filters . ' filters');
cmp_ok($allowed, '>', @filters / 20, 'of which some are allowed')
    or diag("$allowed");
cmp_ok($allowed, '<', @filters / 2, 'and some are not') or diag("$allowed");

done_testing();

###############################################################################

sub gateway {
    my ($name) = @_;

    return <<"END";
    mqtt_gateway $name {
        zone 4m;
        redis %%REDIS%% prefix=$name:;
        auth anonymous;
        acl %%TESTDIR%%/$name;
    }
    server { listen 127.0.0.1:%%PORT_$name%%; mqtt_pass $name; }
END
}


sub random_rules {
    my ($n) = @_;

    srand 11;

    my @filters = filters();

    return map {
        [ rand() < 0.4 ? 'deny' : 'allow',
          ('publish', 'subscribe', 'all', 'publish,subscribe')[rand 4],
          $filters[rand @filters] ]
    } 1 .. $n;
}


sub combine {
    my ($depth, @levels) = @_;

    my @all = my @last = @levels;

    for (2 .. $depth) {
        @last = map { my $text = $_; map { "$text/$_" } @levels } @last;
        push @all, @last;
    }

    return @all;
}


# the fourth level and "z" stand for all that no rule knows

sub names {
    return grep { length && !m{^[^/]*/p2p/} }
           (combine(3, qw/ a b z $x /), 'a/a/a/a', 'z/z/z/z', 'b/a/b/z');
}


sub filters {
    return grep { !/#./ && !/^\+$|^\+\/#$/ }
           combine(3, 'a', 'b', '+', '#', '$x');
}


sub matches {
    my ($filter, $name) = @_;

    return 0 if $name =~ /^\$/ && $filter =~ /^[+#]/;

    my $re = join '/', map { $_ eq '+' ? '[^/]*' : $_ eq '#' ? '.*'
                             : quotemeta } split m{/}, $filter;

    $re =~ s{/\.\*$}{(?:/.*)?};

    return $name =~ /^$re$/;
}

###############################################################################
